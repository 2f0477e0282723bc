"""The promises of delivery, put to the proof: processes killed, disks filled, clocks turned, bytes flipped.

`python -m reliability` proves all and writes docs/reliability.md. A row of that page is one module with
`TITLE`, `MUST` and `prove(stage)`, which returns findings; what it starts as processes of its own stands in
`loads/`. Counts decide, never times, but where a time is the promise itself.
"""
