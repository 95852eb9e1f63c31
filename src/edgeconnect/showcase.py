"""placeholder"""


def demonstrate(a, b):
    pass
