"""Draw street façades: endless pictures whose edges carry the structure a completion has to recover."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Colour = tuple[float, ...]  # RGB, and how much of the sky it mirrors (to 255) if it shines
Patches = Iterator["Patch"]
Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

# Painted in this order; a shade layer darkens all that was painted before it.
BACK, WALL, WALL_SHADE, OPENING, OPENING_SHADE, RELIEF = range(6)


class Patch(NamedTuple):
    """A convex polygon of one colour on a façade plane."""

    layer: int
    outline: tuple[float, ...]  # u, v, w of the corners of a convex polygon
    colour: Colour


class Rect(NamedTuple):
    """A rectangle on a façade plane, in metres; v runs up."""

    left: float
    bottom: float
    right: float
    top: float

    def grow(self, aside: float, up: float) -> "Rect":
        """Move every side outwards."""
        return Rect(self.left - aside, self.bottom - up, self.right + aside, self.top + up)

    def clip(self, to: "Rect") -> "Rect":
        """Keep what lies inside another rectangle."""
        return Rect(max(self[0], to[0]), max(self[1], to[1]), min(self[2], to[2]), min(self[3], to[3]))

    def cells(self, columns: int, rows: int, gap: float = 0.0) -> Iterator["Rect"]:
        """Divide into columns and rows, from the lower left."""
        wide, tall = (self.right - self.left + gap) / columns, (self.top - self.bottom + gap) / rows
        for i in range(columns * rows):
            left, bottom = self.left + i % columns * wide, self.bottom + i // columns * tall
            yield Rect(left, bottom, left + wide - gap, bottom + tall - gap)


# Height and length of a unit, tone of the joints, spread of tones.
BRICK, STONE = (0.3, 0.78, 1.3, 0.16), (0.6, 1.3, 0.72, 0.09)
SIDING, PLASTER = (0.34, 99.0, 0.7, 0.0), (9.0, 99.0, 1.0, 0.0)
MOODS = (  # colours of zenith and horizon, light on matte surfaces, its rest in shade (of 255), lit windows
    ((104, 158, 220), (206, 229, 243), (1.00, 0.99, 0.95), (153, 161, 186, 255), 0.0),
    ((72, 132, 204), (186, 217, 238), (1.04, 1.02, 0.97), (138, 145, 173, 255), 0.0),
    ((168, 180, 192), (222, 225, 226), (0.93, 0.94, 0.95), (196, 199, 206, 255), 0.06),
    ((122, 152, 200), (252, 218, 168), (1.06, 0.94, 0.79), (140, 133, 158, 255), 0.08),
    ((112, 122, 182), (248, 190, 160), (0.93, 0.80, 0.76), (158, 153, 184, 255), 0.3),
    ((36, 52, 102), (176, 146, 160), (0.55, 0.57, 0.72), (178, 178, 199, 255), 0.5),
)
PAINTS = (  # colours of wall, trim and woodwork, and how the wall is laid
    ((172, 92, 70), (238, 228, 208), (44, 82, 72), BRICK),
    ((140, 84, 66), (226, 208, 178), (38, 56, 84), BRICK),
    ((196, 132, 96), (244, 234, 216), (96, 44, 48), BRICK),
    ((228, 198, 150), (250, 242, 226), (58, 104, 108), STONE),
    ((226, 178, 162), (250, 240, 230), (112, 62, 66), PLASTER),
    ((150, 180, 198), (248, 246, 238), (36, 58, 96), SIDING),
    ((164, 182, 150), (246, 240, 222), (88, 62, 48), SIDING),
    ((218, 168, 90), (250, 238, 212), (52, 88, 66), PLASTER),
    ((240, 228, 200), (146, 118, 96), (128, 48, 48), PLASTER),
    ((178, 172, 162), (232, 226, 212), (52, 74, 104), STONE),
    ((236, 236, 230), (70, 84, 100), (164, 62, 50), SIDING),
)
TRAITS = ("shop", "shutters", "arches", "quoins", "pediments", "rails", "balconies")
GRIDS = ((1, 2), (2, 2), (2, 3), (2, 1), (3, 2))  # columns and rows of panes
GROUND, TILES, ROAD, PAVING = 3.6, ((150, 84, 66), (92, 96, 106)), (98, 98, 102), (186, 180, 170)
GLASS, GLOW, DRAPE, IRON = (62, 80, 98, 255), (255, 214, 138, 20), (170, 168, 164, 90), (52, 54, 60)
ARC = [(math.cos(a), math.sin(a)) for a in np.linspace(0, math.pi, 13)]
FRONT, FLANK = np.eye(3), np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # columns: u, v and w in the scene


class Plane(NamedTuple):
    """A façade plane as the camera sees it: u runs right, v up, w out of the wall, in metres."""

    camera: Floats  # (3, 4), to homogeneous picture coordinates
    eye: list[float]
    span: tuple[float, float]  # the stretch of u to build on
    sun: tuple[float, float]  # how far aside and down a shadow falls, per metre of relief
    light: Floats
    shade: Colour
    lit: float

    def project(self, points: Floats) -> Floats:
        """Turn (N, 3) points of the plane into (N, 2) picture coordinates."""
        seen = points @ self.camera[:, :3].T + self.camera[:, 3]
        return np.asarray(seen[:, :2] / np.maximum(seen[:, 2:], 0.3))


class House(NamedTuple):
    """One front: its rectangle on the plane, its materials and what adorns it."""

    plane: Plane
    wall: Rect
    bays: int
    floors: int
    tint: Colour
    trim: Colour
    accent: Colour
    bond: tuple[float, float, float, float]
    tiles: Colour
    roof: float
    grid: tuple[int, int]
    door: int
    traits: set[str]
    noise: list[list[float]]

    def draw(self) -> Patches:
        """Yield the whole front, the wall first."""
        yield from self.shell()
        yield from self.courses()
        inner = self.wall.grow(-0.25, -0.4)
        below, above = inner._replace(top=GROUND), inner._replace(bottom=GROUND)
        for i, cell in enumerate([*below.cells(self.bays, 1), *above.cells(self.bays, self.floors - 1)]):
            if self.plane.span[0] < cell.right and cell.left < self.plane.span[1]:
                if i < self.bays and (i == self.door or "shop" in self.traits):
                    yield from self.shop(cell, i) if "shop" in self.traits else self.entrance(cell, i)
                else:
                    yield from self.window(cell, i)

    def shell(self) -> Patches:
        """Yield what runs from end to end: party walls, chimney, roof, plinth, quoins, cornice."""
        (left, _, right, top), roof = self.wall, self.roof
        for u in filter(None, (left, right)):  # where two façades meet, at 0, each is the side of the other
            side = (u, 0, 0, u, 0, -6, u, top, -6, u, top + roof, -roof, u, top, 0)
            yield Patch(BACK, side, _shade(self.tint, 0.72))
        stack = Rect(left + 1, top, left + 2, top + 1.5 * roof)
        yield _face(BACK, stack, _shade(self.tiles, 0.8), -roof - 0.5)
        for i, (_, low, _, high) in enumerate(Rect(left, -0.3, right, roof).cells(1, 6)):
            tone = _shade(self.tiles, 1.05 if i % 2 else 0.92)
            yield _face(WALL, Rect(left, top + low, right, top + high), tone, -low, low - high)
        yield _face(OPENING, self.wall._replace(top=0.45), _shade(self.tint, 0.72))
        for u in (left, right - 0.5) if "quoins" in self.traits - {"shutters"} else ():
            for stone in Rect(u, 0.45, u + 0.5, top).cells(1, round(top / 0.6), 0.07):
                yield _face(WALL, stone, _shade(self.trim, 0.94))
        for low, high, out in ((GROUND, 3.8, 0.12), (top - 0.4, top, 0.22), (top - 0.1, top + 0.1, 0.45)):
            yield from self.block(Rect(left, low, right, high), out, self.trim)

    def courses(self) -> Patches:
        """Yield bricks, stones or boards on a bed of joints, faded to their mean where too fine to show."""
        wall, (height, length, joint, spread), gap = self.wall, self.bond, 0.055
        foot, head = self.plane.project(np.array([[wall.left, 0, 0], [wall.left, height, 0]]))
        fade = min(max((foot[1] - head[1] - 2.5) / 2, 0), 1) if joint != 1 else 0
        mean = 1 + (joint - 1) * gap * (1 / height + 1 / length)
        yield _face(WALL, wall, _shade(self.tint, mean + (joint - mean) * fade))
        columns = max(round((wall.right - wall.left) / length), 1)
        for j, course in enumerate(wall.cells(1, round(wall.top / height), gap) if fade else ()):
            odd = j % 2 if columns > 1 else 0
            course = course.grow(0.5 * odd * (wall.right - wall.left) / columns, 0)
            for i, unit in enumerate(course.cells(columns + odd, 1, gap)):
                tone = mean + (1 + spread * self.noise[j % 16][i % 16] - mean) * fade
                yield _face(WALL, unit.clip(wall), _shade(self.tint, tone))

    def window(self, cell: Rect, i: int) -> Patches:
        """Yield a window in its casing, with lintel or pediment, sill or balcony, and shutters."""
        traits, trim, upper = self.traits, self.trim, i >= self.bays
        arched, first = upper and "arches" in traits, i < 2 * self.bays
        rail = upper and ("rails" if first else "balconies") in traits
        wide = (0.4 if "shutters" in traits else 0.52 + 0.05 * self.noise[0][9]) * (cell.right - cell.left)
        hole = cell.grow(0.5 * (wide - cell.right + cell.left), -0.19 * (cell.top - cell.bottom))
        hole = hole._replace(bottom=cell.bottom + 0.2) if rail else hole
        casing = hole.grow(0.16, 0.16)
        left, _, right, head = casing.grow(0.1, 0)
        yield self.shadow(WALL_SHADE, casing, 0.1)
        yield _face(OPENING, casing, trim, arch=arched)
        yield from self.sash(hole, self.grid, self.noise[i][0], arched)
        if not arched:
            yield from self.block(Rect(left, head, right, head + 0.14), 0.18, trim)
            low, peak = head + 0.14, head + (0.42 if "pediments" in traits else 0.14)
            yield Patch(RELIEF, (left, low, 0.1, right, low, 0.1, 0.5 * (left + right), peak, 0.1), trim)
        if rail:
            fence = Rect(left - 0.2, hole.bottom, right + 0.2, hole.bottom + 0.95)
            yield from self.block(fence._replace(bottom=hole.bottom - 0.18, top=hole.bottom), 0.75, trim)
            for bar in (*fence.cells(10, 1, 0.1 * (right - left)), fence._replace(bottom=fence.top - 0.1)):
                yield _face(RELIEF, bar, IRON, 0.75)
            low, high = fence.top - 0.1, fence.top
            for u in (fence.left, fence.right):
                yield Patch(RELIEF, (u, low, 0, u, low, 0.75, u, high, 0.75, u, high, 0), IRON)
            return
        yield from self.block(Rect(left, hole.bottom - 0.16, right, hole.bottom), 0.22, trim)
        for u in (casing.left - 0.5 * wide, casing.right) if "shutters" in traits else ():
            leaf = Rect(u, hole.bottom, u + 0.5 * wide, hole.top)
            yield self.shadow(WALL_SHADE, leaf, 0.12)
            yield _face(OPENING, leaf, self.accent)
            for panel in leaf.grow(-0.1, -0.12).cells(1, 2, 0.16):
                yield _face(OPENING, panel, _shade(self.accent, 0.75))

    def sash(self, hole: Rect, grid: tuple[int, int], chance: float, arched: bool = False) -> Patches:
        """Yield glazing set back in its hole: the jambs in view, frame, glass, drapes, bars and shade."""
        eye, depth = self.plane.eye, 0.24
        pull, lit = depth / (eye[2] + depth), chance < 2 * self.plane.lit - 1
        back = Rect(*(x + pull * (e - x) for x, e in zip(hole, eye[:2] * 2, strict=True)))
        frame = back.clip(hole)
        left, bottom, right, top = glass = frame.grow(-0.1, -0.1)
        yield _face(OPENING, hole, _shade(self.tint, 0.62), arch=arched)
        yield _face(OPENING, frame, self.trim, arch=arched)
        yield _face(OPENING, glass, GLOW if lit else GLASS, arch=arched)
        drape = 0.22 * (right - left)
        for u in (left, right - drape) if chance > 0.2 else ():
            yield _face(OPENING, Rect(u, bottom, u + drape, top - 1.2 * drape * arched), DRAPE)
        for u in [left + (right - left) * i / grid[0] for i in range(1, grid[0])]:
            yield _face(OPENING, Rect(u - 0.045, bottom, u + 0.045, top), self.trim)
        for v in [bottom + (top - bottom) * i / grid[1] for i in range(1, grid[1])]:
            yield _face(OPENING, Rect(left, v - 0.045, right, v + 0.045), self.trim)
        yield _face(OPENING_SHADE, frame._replace(bottom=top - 0.16 * self.plane.sun[1]), self.plane.shade)

    def entrance(self, cell: Rect, i: int) -> Patches:
        """Yield a panelled door below a transom light, in a hooded casing above two steps."""
        casing = cell.grow(0.84 - 0.5 * (cell.right - cell.left), 0)._replace(bottom=0, top=3.1)
        leaf = casing._replace(bottom=0.3, top=2.4).grow(-0.22, 0)
        yield self.shadow(WALL_SHADE, casing, 0.15)
        yield _face(OPENING, casing, self.trim)
        yield from self.sash(leaf._replace(bottom=2.4, top=2.95), (3, 1), self.noise[i][0])
        yield _face(OPENING, leaf, self.accent)
        for panel in leaf.grow(-0.14, -0.14).cells(2, 3, 0.12):
            yield _face(OPENING, panel, _shade(self.accent, 0.7))
            yield _face(OPENING, panel.grow(-0.05, -0.05), _shade(self.accent, 1.2))
        for low, high, out in ((3.1, 3.26, 0.4), (0, 0.15, 0.75), (0.15, 0.3, 0.4)):
            step = casing.grow(0.1, 0)._replace(bottom=low, top=high)
            yield from self.block(step, out, PAVING if low < 3 else self.trim)

    def shop(self, cell: Rect, i: int) -> Patches:
        """Yield a bay of a shop: window on a riser or glass door, signboard, striped awning and its shade."""
        accent, top, low, out = self.accent, 3.05, 2.5, 1.2
        yield _face(OPENING, cell._replace(bottom=0, top=top), accent)
        if i == self.door:
            yield from self.sash(cell._replace(bottom=0.1, top=2.6).grow(-0.75, 0), (1, 1), 0)
        else:
            yield from self.sash(cell._replace(bottom=0.75, top=2.9).grow(-0.2, 0), (3, 1), self.noise[i][0])
        yield from self.block(cell._replace(bottom=top, top=3.5), 0.12, accent)
        yield _face(RELIEF, cell._replace(bottom=3.2, top=3.35).grow(-0.3, 0), self.trim, 0.13)
        shade = cell._replace(bottom=low - 0.25 - 0.8 * self.plane.sun[1], top=top)
        yield _face(OPENING_SHADE, shade, self.plane.shade)
        for j, stripe in enumerate(cell._replace(bottom=low - 0.25, top=low).cells(6, 1)):
            cloth = self.trim if j % 2 else _shade(accent, 1.25)
            yield _face(RELIEF, stripe._replace(bottom=low, top=top), cloth, out, -out)
            yield _face(RELIEF, stripe, _shade(cloth, 0.86), out)

    def block(self, r: Rect, out: float, colour: Colour) -> Patches:
        """Yield a box on the wall: its shadow, and the side, the top or underside, and the front in view."""
        (left, low, right, high), eye = r, self.plane.eye
        yield self.shadow(OPENING_SHADE if out > 0.3 else WALL_SHADE, r, out)
        if not left < eye[0] < right:
            u = left if eye[0] <= left else right
            tone = 0.9 if (u == left) == (self.plane.sun[0] > 0) else 0.7
            yield Patch(RELIEF, (u, low, 0, u, low, out, u, high, out, u, high, 0), _shade(colour, tone))
        v, tone = (high, 1.08) if eye[1] >= high else (low, 0.55)
        yield _face(RELIEF, Rect(left, v, right, v), _shade(colour, tone), lean=out)
        yield _face(RELIEF, r, colour, out)

    def shadow(self, layer: int, r: Rect, out: float) -> Patch:
        """Return the shadow of a box: the hull of its back and of its front slid along the light."""
        aside, fall = self.plane.sun[0] * out, self.plane.sun[1] * out
        near, far = (r.left, r.right) if aside >= 0 else (r.right, r.left)
        high, low = max(r.top - fall, 0), max(r.bottom - fall, 0)
        upper = (near, r.top, 0, far, r.top, 0, far + aside, high, 0)
        lower = (far + aside, low, 0, near + aside, low, 0, near, r.bottom, 0)
        return Patch(layer, upper + lower, self.plane.shade)


def render(index: int, height: int, width: int, seed: int = 0) -> Pixels:
    """Draw street scene `index` of the endless series `seed` as (height, width, 3) RGB.

    Every size shows the same scene; a wider picture shows more of the street.
    Raise ValueError for a negative index or seed, or a side under 16 pixels.
    """
    if min(index, seed) < 0 or min(height, width) < 16:
        raise ValueError(f"need index, seed >= 0 and sides >= 16, got {index=}, {seed=}, {height=}, {width=}")
    rng = np.random.default_rng((seed, index))
    zenith, horizon, light, shade, lit = MOODS[rng.integers(len(MOODS))]
    sky = _sky(rng, np.array(zenith), np.array(horizon))
    factor = 6 if height <= 64 else 4 if height <= 128 else 3 if height <= 320 else 2
    size = (width * factor, height * factor)
    canvas = np.asarray(cv2.resize(sky, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    mains = _stage(rng, height, width, np.array(light), shade, lit)
    camera = mains[0].plane.camera
    canvas[round(factor * camera[1, 2] / camera[2, 2]) :, :, :3] = np.array(ROAD) * light
    _paint(canvas, [(main.plane, [*_street(rng, main)]) for main in mains], factor)
    picture = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    mirrored = cv2.resize(sky[::-1], (width, height), interpolation=cv2.INTER_CUBIC)
    picture += picture[..., 3:] * (0.5 / 255) * (mirrored - picture)
    return np.rint(picture[..., :3]).astype(np.uint8)


def _sky(rng: Rng, zenith: Floats, horizon: Floats, size: int = 64) -> Pixels:
    """Return a (size, size, 4) gradient with soft clouds, RGB and zero gloss."""
    down, noise = np.linspace(0, 1, size)[:, None, None] ** 0.8, np.zeros((size, size))
    for n, weight in ((3, 0.55), (6, 0.3), (12, 0.15)):
        noise += weight * cv2.resize(rng.random((2 * n, n)), (size, size), interpolation=cv2.INTER_CUBIC)
    cover = np.clip((noise[..., None] - rng.uniform(0.45, 0.75)) * 4, 0, 0.6)
    sky = (zenith * (1 - down) + horizon * down) * (1 - cover) + 0.5 * (horizon + 244) * cover
    return np.dstack([sky, 0 * cover]).astype(np.uint8)


def _stage(rng: Rng, height: int, width: int, tint: Floats, shade: Colour, lit: float) -> list[House]:
    """Return the main house of the street in view, or its two fronts where streets meet at a corner."""
    corner, floors = rng.random() < 0.25, int(rng.integers(2, 5))
    turn = rng.uniform(0.5, 1.05) if corner else rng.uniform(-0.62, 0.62)
    tall, eye = 2.6 + 3.1 * floors, rng.uniform(1.8, 4.6)
    reach, scale = tall * rng.uniform(1.25, 1.9), rng.uniform(0.76, 0.9) / tall
    ahead = np.array([-math.sin(turn), 0, -math.cos(turn)])
    across = scale * reach * np.array([-ahead[2], 0, ahead[0]]) + 0.5 * width / height * ahead
    down = (0.9 - scale * eye) * ahead - (0, scale * reach, 0)
    rows, place = np.array([across * height, down * height, ahead]), np.array([0, eye, 0]) - reach * ahead
    azimuth = turn * corner + rng.uniform(0.25, 1) * rng.choice((-1, 1))
    sun = np.array([math.sin(azimuth), rng.uniform(0.6, 1), math.cos(azimuth)])
    planes, u = [], np.arange(-36.0, 37.0)
    for axes in (FRONT, FLANK)[: 1 + corner]:
        camera = np.column_stack([rows @ axes, -rows @ place])
        x, _, depth = np.outer(camera[:, 0], u) + camera[:, 3:]
        seen = u[(depth > 1) & (x > 0) & (x < width * depth)]
        span = (0 if axes is FLANK else seen[0] - 2, 0 if corner and axes is FRONT else seen[-1] + 2)
        over, up, facing = sun @ axes / np.linalg.norm(sun)
        slide = (float(np.clip(-over / max(facing, 0.3), -1, 1)), float(up / max(facing, up)))
        light = tint * (0.7 + 0.34 * max(facing, 0))
        planes.append(Plane(camera, (place @ axes).tolist(), span, slide, light, shade, lit))
    main = _house(rng, planes[0], 0, -1 if corner else 0, floors, PAINTS[rng.integers(len(PAINTS))][0])
    wall, traits = main.wall._replace(left=0, right=-main.wall.left), main.traits - {"shop"}
    flank = main._replace(plane=planes[-1], wall=wall, traits=traits, roof=0)
    return [main._replace(roof=0), flank] if corner else [main]


def _house(rng: Rng, plane: Plane, edge: float, side: int, floors: int, beside: Colour) -> House:
    """Return a house right (1) or left (-1) of `edge` or around it (0), painted unlike the one beside."""
    bays, grid = int(rng.integers(2, 5)), GRIDS[rng.integers(len(GRIDS))]
    width, top = bays * rng.uniform(2.6, 3.2), GROUND + (floors - 1) * rng.uniform(2.9, 3.3) + 0.4
    left, roof = edge - 0.5 * (1 - side) * width, rng.uniform(1.4, 2.2) * (rng.random() < 0.5)
    traits = {trait for trait in TRAITS if rng.random() < 0.33}
    wall, tiles, door = Rect(left, 0, left + width, top), TILES[rng.integers(2)], int(rng.integers(bays))
    paint = [paint for paint in PAINTS if paint[0] != beside][rng.integers(len(PAINTS) - 1)]
    noise = rng.uniform(-1, 1, (16, 16)).tolist()
    return House(plane, wall, bays, floors, *paint, tiles, roof, grid, door, traits, noise)


def _street(rng: Rng, main: House) -> Patches:
    """Yield the pavement and houses side by side along the whole span, `main` among them."""
    start, end = main.plane.span
    yield _face(BACK, Rect(start - 2.4, 0, end + 2.4, 0), PAVING, lean=2.4)
    for u in range(math.floor(start), math.ceil(end), 2):
        yield _face(BACK, Rect(u, 0, u + 0.06, 0), _shade(PAVING, 0.8), lean=2.4)
    yield from main.draw()
    for side, limit in ((-1, -start), (1, end)):
        house = main
        while side * (edge := house.wall.right if side > 0 else house.wall.left) < limit:
            floors = min(max(main.floors + int(rng.integers(-1, 2)), 2), 4)
            house = _house(rng, main.plane, edge, side, floors, house.tint)
            yield from house.draw()


def _paint(canvas: Pixels, scene: list[tuple[Plane, list[Patch]]], factor: int) -> None:
    """Fill the patches into the (height, width, 4) canvas, layer by layer."""
    for layer in range(6):
        target = np.full_like(canvas, 255) if layer in (WALL_SHADE, OPENING_SHADE) else canvas
        for plane, patches in scene:
            chosen = [patch for patch in patches if patch.layer == layer]
            points = np.array([x for patch in chosen for x in patch.outline]).reshape(-1, 3)
            pixels = np.clip(np.rint((plane.project(points) * factor - 0.5) * 16), -1e6, 1e6).astype(np.int32)
            colours = np.array([(*patch.colour, 0.0)[:4] for patch in chosen], float).reshape(-1, 4)
            colours[colours[:, 3] == 0, :3] *= plane.light  # what shines or shades keeps its own colour
            outlines = np.split(pixels, np.cumsum([len(patch.outline) // 3 for patch in chosen], dtype=int))
            for outline, colour in zip(outlines, colours.tolist(), strict=False):  # behind the last, nothing is left
                cv2.fillConvexPoly(target, outline, colour, cv2.LINE_8, 4)
        if target is not canvas:
            cv2.multiply(canvas, target, dst=canvas, scale=1 / 255)


def _face(layer: int, r: Rect, colour: Colour, out: float = 0, lean: float = 0, arch: bool = False) -> Patch:
    """Return a rectangle `out` of the wall, its upper edge `lean` further, its head perhaps an arch."""
    head: tuple[float, ...] = (r.right, r.top, out + lean, r.left, r.top, out + lean)
    if arch:
        half = 0.5 * (r.right - r.left)
        head = tuple(x for c, s in ARC for x in (r.left + half * (1 + c), r.top + half * (s - 1), out))
    return Patch(layer, (r.left, r.bottom, out, r.right, r.bottom, out, *head), colour)


def _shade(colour: Colour, k: float) -> Colour:
    return (colour[0] * k, colour[1] * k, colour[2] * k)
