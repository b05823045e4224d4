"""Judges speech by PESQ (ITU-T P.862.1 narrowband, P.862.2 wideband).

In:  JSON, a list of {"mode": "nb" | "wb", "rate": Hz, "reference": path, "heard": path}; the files are raw 16-bit
     little-endian samples. `heard` may begin earlier and end later than the reference.
Out: JSON, a list of MOS-LQO in the same order.
"""

import json
import multiprocessing
import sys

import numpy
from pesq import pesq


def align(reference, heard):
    """The part of `heard` that is most like all of `reference`."""
    size = 1 << (len(reference) + len(heard)).bit_length()
    spectrum = numpy.fft.rfft(heard, size) * numpy.conj(numpy.fft.rfft(reference, size))
    likeness = numpy.fft.irfft(spectrum, size)[: len(heard)]
    begin = int(numpy.argmax(likeness))
    part = heard[begin : begin + len(reference)]
    return numpy.pad(part, (0, len(reference) - len(part)))


def judge(case):
    reference = numpy.fromfile(case["reference"], dtype="<i2")
    heard = numpy.fromfile(case["heard"], dtype="<i2")
    part = align(reference.astype(float), heard.astype(float))
    return float(pesq(case["rate"], reference, part.astype("int16"), case["mode"]))


if __name__ == "__main__":
    cases = json.load(sys.stdin)
    with multiprocessing.Pool() as pool:
        json.dump(pool.map(judge, cases, chunksize=1), sys.stdout)
