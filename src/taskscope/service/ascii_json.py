"""JSON that `curl` on a terminal may print: in ASCII, since names and texts in it come from anywhere."""

from __future__ import annotations

import json
from typing import Any

from fastapi.responses import JSONResponse


class AsciiJSONResponse(JSONResponse):
    """Control characters and marks that turn the direction of writing are escaped; it is the same JSON."""

    def render(self, content: Any) -> bytes:
        """Return the body; DEL is the one control character that JSON's own escapes let pass."""
        text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        return text.replace("\x7f", "\\u007f").encode()
