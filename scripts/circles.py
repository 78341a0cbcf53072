"""Circles of imports between the modules of a crate: its files outside tests, and the folders right below it.

A path in a `use` or in the code imports the deepest file that it names, re-exports followed. A module and its own
submodules may import each other.
"""
import re

# An item of tests, up to the line of its own indentation that ends it.
TEST = re.compile(r"^( *)#\[(?:cfg\((?:all\()?test\b|test\]).*\n(?:.*\n)*?\1(?=\S).*[;}]$", re.M)
USE = re.compile(r"^ *(pub(?:\([^)]*\))? )?use ([\w:{},*\s]+);", re.M)
PATH = re.compile(r"\b(?:crate|super)(?:::\w+)+")


def module(path):
    """Returns the names of a file's module below its crate, none for the crate itself."""
    names = path.split("/src/")[1].removesuffix(".rs").split("/")
    return tuple(names[:-1] if names[-1] in ("lib", "main", "mod") else names)


def leaves(tree):
    """Returns the paths of a tree of imports: `a::b` and `a::c` of `a::{b, c}`."""
    spread = lambda found: ",".join(found[1] + name.strip() for name in found[2].split(",") if name.strip())
    while "{" in tree:
        tree = re.sub(r"([\w:]*)\{([^{}]*)\}", spread, tree)
    return [leaf.strip().removesuffix("::self") for leaf in tree.split(",")]


def absolute(base, path):
    """Returns the names of a path below the crate, as the module `base` writes it."""
    names = path.split("::")
    while names[0] in ("crate", "self", "super"):
        base = {"crate": (), "self": base, "super": base[:-1]}[names.pop(0)]
    return base + tuple(names)


def target(names, exports):
    """Returns the deepest module of a path; `exports` has the re-exports of every module."""
    base = next(names[:depth] for depth in range(len(names), -1, -1) if names[:depth] in exports)
    rest = names[len(base) :]
    behind = exports[base].get(rest[0]) if rest else None
    return target(behind + rest[1:], exports) if behind else base


def imports(texts, depth):
    """Returns {module: {imported module: path}}, all below `depth` counted for the module there."""
    paths, exports = [], {base: {} for base in texts}
    for base, text in texts.items():
        paths += [(base, path) for path in PATH.findall(USE.sub("", text))]
        for public, tree in USE.findall(text):
            for leaf in leaves(tree):
                path, _, name = leaf.partition(" as ")
                paths.append((base, path))
                names = absolute(base, path)
                if public and names != base + names[-1:]:
                    exports[base][name or names[-1]] = names
    found = {base[:depth]: {} for base in texts}
    for base, path in paths:
        one, other = base[:depth], target(absolute(base, path), exports)[:depth]
        if one != other[: len(one)] and other != one[: len(other)]:
            found[one][other] = path
    return found


def circles(edges):
    """Yields shortest circles, at least one of every set of modules that import each other."""
    for start in sorted(edges):
        ways, seen = [[start]], set()
        for way in ways:
            ways += [way + [name] for name in edges[way[-1]] if name not in seen]
            seen.update(edges[way[-1]])
        circle = next((way for way in ways if len(way) > 1 and way[-1] == start), None)
        if circle and start == min(circle):
            yield " -> ".join("::".join(a) + f" ({edges[a][b]})" for a, b in zip(circle, circle[1:]))


def of_crate(files):
    """Returns the circles of a crate, {path: text}, among its files and among the modules right below it."""
    texts = {module(path): re.sub("//.*", "", TEST.sub("", text)) for path, text in files.items()}
    return sorted({circle for depth in (1, None) for circle in circles(imports(texts, depth))})
