"""Holds the weights of two model files against each other: compare_models.py A B TOLERANCE.

The distance is that of all weights together, relative to their norm. A tolerance of 0 asks for equal
bits. What the cards say is not compared: they hold the seconds that a training took.
"""

import array
import json
import math
import struct
import sys


def arrays(path):
    """The arrays of a safetensors file by name: their kind, their shape and their values."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        head = json.loads(file.read(length))
        data = file.read()
    found = {}
    for name, about in head.items():
        if name != "__metadata__":
            first, end = about["data_offsets"]
            values = array.array({"F32": "f", "F64": "d"}.get(about["dtype"], "B"))
            values.frombytes(data[first:end])
            found[name] = (about["dtype"], about["shape"], values)
    return found


def main(first, second, tolerance):
    one, other = arrays(first), arrays(second)
    if {name: about[:2] for name, about in one.items()} != {name: about[:2] for name, about in other.items()}:
        sys.exit(f"{first} and {second} have other arrays")
    if all(values.tobytes() == other[name][2].tobytes() for name, (_, _, values) in one.items()):
        print("equal, to the bit")
        return

    apart = whole = 0.0
    for name, (kind, _, values) in one.items():
        if kind in ("F32", "F64"):
            apart += sum((a - b) ** 2 for a, b in zip(values, other[name][2]))
            whole += sum(a * a for a in values)
    distance = math.sqrt(apart / whole)
    print(f"distance {distance:.1e} of the weights' norm, at most {tolerance}")
    # A distance that is no number is not within any tolerance.
    if not distance <= tolerance or tolerance == 0:
        sys.exit(f"{first} and {second} differ")


main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
