"""What a figure depends on beside the code: the machine and the interpreter."""

from __future__ import annotations

import os
import platform
import re
import ssl
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")  # Linux only


def describe_machine() -> dict[str, str]:
    """Return the facts by name; none of them names the machine or its owner."""
    return {
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": f"{os.cpu_count()} x {_processor()}",
        "TLS": ssl.OPENSSL_VERSION,
    }


def _processor() -> str:
    if _CPU_INFO.exists():
        match = re.search(r"^model name\s*:\s*(.+)$", _CPU_INFO.read_text("utf-8"), re.MULTILINE)
        if match:
            return match[1]
    return platform.processor() or "unknown"
