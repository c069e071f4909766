"""A journal of many Workflows, written as the tool writes one: for what is to stay quick however long a ledger is."""

import json
import zlib
from datetime import datetime, timedelta, timezone
from pathlib import Path

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
TYPES = ["OrderProcessing", "Shipment", "Refund", "Loyalty"]
ERRORS = [
    ("PERMISSION_DENIED", "Request unauthorized."),
    ("RESOURCE_EXHAUSTED", "namespace rate limit exceeded"),
    ("NOT_FOUND", "workflow execution already completed"),
]


def line(records: list[dict]) -> str:
    body = json.dumps(records, separators=(",", ":"), ensure_ascii=False)
    return f'{{"crc":"{zlib.crc32(body.encode()):08x}","records":{body}}}\n'


class Many:
    """Counts records and seconds."""

    def __init__(self, workflows: int, run: str = "rb-many") -> None:
        self.workflows, self.run, self.seq, self.second = workflows, run, 0, 0.0

    def record(self, kind: str, **body: object) -> dict:
        self.seq += 1
        at = (START + timedelta(seconds=self.second)).isoformat().replace("+00:00", "Z")
        return {"seq": self.seq, "at": at, "body": {"kind": kind, **body}}

    def opened(self) -> list[dict]:
        plan = {
            "name": "recover",
            "title": "Recover many Workflows",
            "digest": "0" * 64,
            "survey": {"preflight": {"address": "127.0.0.1:7233", "namespace": "prod"}},
        }
        opened = self.record(
            "opened", format={"major": 1, "minor": 2}, run=self.run, plan=plan, tool="0.1.0", dry=False, rehearsal=False
        )
        attached = self.record(
            "attached", attachment=1, host="laptop", pid=1, user="alice", flags={}, notes=[]
        )
        return [opened, attached, self.record("step_started", place=place())]

    def page(self, first: int, count: int) -> list[dict]:
        claims = [
            {
                "ordinal": n,
                "id": f"{TYPES[n % 4].lower()}-{n}",
                "run": f"019a0000-0000-7000-8000-{n:012}",
                "type": TYPES[n % 4],
            }
            for n in range(first, first + count)
        ]
        return [self.record("page", place=place(), **{"pass": 1}, claims=claims)]

    def outcome(self, n: int) -> list[dict]:
        self.second += 0.005
        row = ["stuck", "others", "corrupted"][n % 3]
        if n % 50 == 7:
            return [self.record("outcome", ordinal=n, row=row, outcome={"is": "skipped", "reason": "already moved"})]
        moved = n % 3 == 1
        intent = self.record(
            "intent",
            ordinal=n,
            row=row,
            strategy="move" if moved else "start_over",
            treatment="moved" if moved else "started_over",
            write={"call": "options", "target": None},
            seen={"status": "Running", "current_run": "", "history_length": 4},
            deadline=START.isoformat(),
        )
        if n % 100 == 13:
            code, message = ERRORS[n // 100 % 3]
            outcome = {"is": "failed", "code": code, "message": message}
        else:
            outcome = {"is": "done"} if moved else {"is": "done", "new_run": f"019b0000-0000-7000-8000-{n:012}"}
        return [intent, self.record("outcome", ordinal=n, outcome=outcome)]

    def write(self, path: Path) -> None:
        with path.open("w", encoding="utf-8") as file:
            file.write(line(self.opened()))
            for first in range(0, self.workflows, 1000):
                count = min(1000, self.workflows - first)
                file.write(line(self.page(first, count)))
                for n in range(first, first + count, 100):
                    some = range(n, min(n + 100, first + count))
                    file.write(line([record for one in some for record in self.outcome(one)]))
            file.write(line([self.record("parked", reason="a person has to look")]))


def place() -> dict:
    return {"step": "recover", "iteration": 0}


if __name__ == "__main__":
    import sys

    Many(int(sys.argv[1])).write(Path(sys.argv[2]))
