"""A codec server as one would write it with the SDK: payloads are hidden, and found again.

Owns its port and counts its calls. `XOR` is not encryption, and enough to tell what was transformed.
"""

import http.server
import json
import threading

from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads

ENCODING = b"binary/encrypted"
KEY = 0x5A


def xor(data: bytes) -> bytes:
    return bytes(byte ^ KEY for byte in data)


def encode(payload: Payload) -> Payload:
    return Payload(metadata={"encoding": ENCODING, "by": b"live"}, data=xor(payload.SerializeToString()))


def decode(payload: Payload) -> Payload:
    if payload.metadata.get("encoding") != ENCODING:
        return payload
    return Payload.FromString(xor(payload.data))


class CodecServer:
    """`with CodecServer(...) as codec:`. `auth`: what each call must carry; `status`: what all are answered."""

    def __init__(self, auth: str | None = None, status: int = 200) -> None:
        self.calls: list[tuple[str, dict[str, str]]] = []
        calls = self.calls

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                calls.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
                body = self.rfile.read(int(self.headers["content-length"]))
                if auth and self.headers.get("authorization") != auth:
                    self.answer(401, b"who are you?")
                elif status != 200:
                    self.answer(status, b"out of order")
                else:
                    change = {"/codec/encode": encode, "/codec/decode": decode}[self.path]
                    payloads = json_format.Parse(body, Payloads()).payloads
                    answer = Payloads(payloads=[change(payload) for payload in payloads])
                    self.answer(200, json_format.MessageToJson(answer).encode())

            def answer(self, code: int, body: bytes) -> None:
                self.send_response(code)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}/codec"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> "CodecServer":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
