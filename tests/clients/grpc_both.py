"""A gRPC server, and then a client that reaches it through the proxy.

Prints `port N` for the server, reads `HOST:PORT` of the proxy from standard input, and ends with 0 when every call has done
what it does without a proxy. Arguments: `client-tls` or `client-plain`, `server-tls` or `server-plain`, and the folder of
the certificates.
"""

import concurrent.futures
import sys
import threading
import time

import grpc

SERVICE = "test.Echo"
cancelled = threading.Event()


def unary(request, context):
    context.send_initial_metadata((("x-first", "1"),))
    context.set_trailing_metadata((("x-last-bin", b"\x00\xff"),))
    left = context.time_remaining()
    return request + (b" deadline" if left is not None and left < 31 else b"")


def refuse(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no, and why: \u00fc")


def sleep(request, context):
    context.add_callback(cancelled.set)
    cancelled.wait(10)
    return b""


def many(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def count(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def converse(requests, context):
    for request in requests:
        yield request.upper()


def half(request, context):
    yield b"first"
    context.abort(grpc.StatusCode.DATA_LOSS, "in the middle")


HANDLERS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
    "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
    "Many": grpc.unary_stream_rpc_method_handler(many),
    "Half": grpc.unary_stream_rpc_method_handler(half),
    "Count": grpc.stream_unary_rpc_method_handler(count),
    "Converse": grpc.stream_stream_rpc_method_handler(converse),
}


def serve(tls, folder):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=32))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, HANDLERS),))
    if tls:
        pair = tuple(open(f"{folder}/server.{end}", "rb").read() for end in ("key", "pem"))
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def connect(address, tls, folder):
    if not tls:
        return grpc.insecure_channel(address, (("grpc.default_authority", "shop.test"),))
    roots = open(f"{folder}/ca.pem", "rb").read()
    options = (("grpc.ssl_target_name_override", "shop.test"),)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(roots), options)


def code(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


def check(channel):
    path = f"/{SERVICE}/".__add__
    wait = {"timeout": 30}
    one = channel.unary_unary(path("Unary"))
    answer, call = one.with_call(b"x", **wait)
    assert answer == b"x deadline", answer
    assert ("x-first", "1") in call.initial_metadata(), call.initial_metadata()
    assert ("x-last-bin", b"\x00\xff") in call.trailing_metadata(), call.trailing_metadata()
    assert one(b"", **wait) == b" deadline"
    large = b"z" * 3_000_000
    assert one(large, **wait) == large + b" deadline"

    refusal = code(lambda: channel.unary_unary(path("Refuse"))(b"", **wait))
    assert refusal == (grpc.StatusCode.FAILED_PRECONDITION, "no, and why: \u00fc"), refusal
    missing = code(lambda: channel.unary_unary(path("Missing"))(b"", **wait))
    assert missing[0] == grpc.StatusCode.UNIMPLEMENTED, missing
    late = code(lambda: channel.unary_unary(path("Sleep"))(b"", timeout=0.3))
    assert late[0] == grpc.StatusCode.DEADLINE_EXCEEDED, late
    assert cancelled.wait(4), "the server is not told that the client's time is over"
    cancelled.clear()
    left = channel.unary_unary(path("Sleep")).future(b"", **wait)
    time.sleep(0.1)
    left.cancel()
    assert cancelled.wait(4), "the server is not told that the client has left"

    numbers = list(channel.unary_stream(path("Many"))(b"1000", **wait))
    assert numbers == [b"%d" % number for number in range(1000)]
    halves = channel.unary_stream(path("Half"))(b"", **wait)
    assert next(halves) == b"first"
    broken = code(lambda: next(halves))
    assert broken == (grpc.StatusCode.DATA_LOSS, "in the middle"), broken
    total = channel.stream_unary(path("Count"))((b"y" * 10_000 for _ in range(300)), **wait)
    assert total == b"3000000", total

    # Each word waits for the answer to the one before: a proxy that waits for the end of either side never gets there.
    answered = threading.Semaphore(1)

    def words():
        for number in range(200):
            assert answered.acquire(timeout=10)
            yield b"word %d" % number

    heard = 0
    for answer in channel.stream_stream(path("Converse"))(words(), **wait):
        assert answer == b"WORD %d" % heard, answer
        heard += 1
        answered.release()
    assert heard == 200, heard

    with concurrent.futures.ThreadPoolExecutor(max_workers=20) as pool:
        bodies = [b"%d" % number for number in range(400)]
        answers = list(pool.map(lambda body: one(body, **wait), bodies))
    assert answers == [body + b" deadline" for body in bodies]


def main():
    client, server, folder = sys.argv[1:]
    serving, port = serve(server == "server-tls", folder)
    print(f"port {port}", flush=True)
    address = sys.stdin.readline().strip()
    with connect(address, client == "client-tls", folder) as channel:
        check(channel)
    serving.stop(None).wait()


main()
