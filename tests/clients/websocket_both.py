"""A WebSocket server, and then a client that reaches it through the proxy.

Prints `port N` for the server, reads `HOST:PORT` of the proxy from standard input, and ends with 0 when every message has
come back and both sides have closed in order. Arguments: `client-tls` or `client-plain`, and the folder of the certificates.
"""

import socket
import ssl
import sys
import threading

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import serve

closed = []
done = threading.Event()


def echo(connection):
    try:
        while True:
            connection.send(connection.recv())
    except ConnectionClosed as end:
        closed.append((end.rcvd.code, end.rcvd.reason))
        done.set()


def main():
    client, folder = sys.argv[1:]
    with serve(echo, "127.0.0.1", 0, subprotocols=["chat"], max_size=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"port {server.socket.getsockname()[1]}", flush=True)
        host, port = sys.stdin.readline().strip().rsplit(":", 1)
        tls = client == "client-tls"
        scheme = "wss" if tls else "ws"
        context = ssl.create_default_context(cafile=f"{folder}/ca.pem") if tls else None
        stream = socket.create_connection((host, int(port)))
        address = f"{scheme}://shop.test:{port}/chat"
        with connect(address, sock=stream, ssl=context, subprotocols=["chat"], max_size=None) as connection:
            assert connection.subprotocol == "chat"
            for message in ["text \u00fc", b"\x00\xff", "", "x" * 3_000_000, b"y" * 70_000]:
                connection.send(message)
                assert connection.recv(timeout=20) == message
            assert connection.ping(b"still there").wait(20)
            connection.close(4001, "enough")
        assert done.wait(20)
        server.shutdown()
    assert closed == [(4001, "enough")], closed


main()
