"""Writes the thresholds of `policy.py` into `media-engine/src/amd/policy.rs`, between the marks there."""

import re
from pathlib import Path

from policy import MODES

FILE = Path(__file__).parent.parent / "media-engine/src/amd/policy.rs"


def arm(name, mode):
    number = lambda v: f"({v[0]!r}, {v[1]!r})" if isinstance(v, (tuple, list)) else repr(float(v))
    fields = "".join(f"                {key}: {number(value)},\n" for key, value in mode.items())
    return f"            Mode::{name.capitalize()} => Thresholds {{\n{fields}            }},\n"


text = FILE.read_text()
arms = "            // From policy.py, by thresholds.py.\n" + "".join(arm(n, m) for n, m in MODES.items()) + "            // End.\n"
text = re.sub(r"            //THRESHOLDS\n|            // From policy.py.*?// End.\n", lambda _: arms, text, flags=re.S)
FILE.write_text(text)
