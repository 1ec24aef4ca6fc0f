"""A fake of the APIs of AWS that `cargo doctor --stack` reads and that the documented commands call.

It is strict: it verifies signatures, and validates requests and answers against botocore's models of
the services. It prints its port. `POST /_faults` replaces the faults that it injects.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from faults import Faults, apply
from protocol import AwsError, Request, read_operation, write_answer, write_error
from signature import Verifier
from stack import Stack


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def do_PUT(self):
        self.answer()

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/_faults":
            self.server.faults = Faults(json.loads(body))
            return self.send(204, {}, b"")
        request = Request(self.command, self.path, dict(self.headers.items()), body)
        operation = None
        try:
            service = self.server.verifier.verify(request)
            operation, parameters = read_operation(service, request)
            self.send(*self.written(operation, parameters))
        except AwsError as error:
            self.send(*write_error(operation, error))
        except Exception as error:
            print(f"the fake of AWS: {self.command} {self.path}: {error!r}", file=sys.stderr, flush=True)
            self.send(*write_error(operation, AwsError("InternalFailure", 500)))

    def written(self, operation, parameters):
        """Returns the answer. It is the same for the same request and faults."""
        faults = self.server.faults.of(operation, parameters)
        request = [operation.service_model.service_name, operation.name, parameters, faults]
        key = json.dumps(request, sort_keys=True, default=str)
        if key not in self.server.written:
            answer = apply(faults, lambda: self.server.stack.answer(operation, parameters))
            self.server.written[key] = write_answer(operation, answer)
        return self.server.written[key]

    def send(self, status, headers, body):
        head = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in headers.items())]
        head += [f"content-length: {len(body)}", "", ""]
        # One write, because two would wait for each other's acknowledgement.
        self.wfile.write("\r\n".join(head).encode() + body)

    def log_message(self, *arguments):
        pass


def main():
    settings = json.load(sys.stdin)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.verifier = Verifier(settings["region"], settings["credentials"])
    server.stack = Stack(settings)
    server.faults, server.written = Faults([]), {}
    print(json.dumps({"port": server.server_port, "physical_ids": server.stack.physical_ids}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
