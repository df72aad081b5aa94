"""Runs `smartproxy top` in a pseudo-terminal and uses it as a person would.

Arguments: the program, the configuration, the listener's host and port, and what is tried. Everything that it sees is checked here.
"""

import fcntl
import os
import pty
import re
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

PROGRAM, CONFIG, HOST, PORT, PART = sys.argv[1:6]
PATIENCE = 20

# A colour in front of a character (ECMA-48, "select graphic rendition"): one of eight, or one by its number.
COLOUR = rb"\x1b\[([0-9;]*;)?(3[0-7]|38;[0-9;]+|9[0-7])m"


class Screen:
    """A `top` in a terminal of its own, and what it has written so far."""

    def __init__(self, deaf=False, **environment):
        self.leader, follower = pty.openpty()
        self.resize(40, 160)
        self.before = termios.tcgetattr(self.leader)
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            if deaf:
                # It is told nothing when the terminal goes.
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            else:
                fcntl.ioctl(follower, termios.TIOCSCTTY, 0)
            for descriptor in (0, 1, 2):
                os.dup2(follower, descriptor)
            variables = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
            variables.update(TERM="xterm-256color", **environment)
            os.execve(PROGRAM, [PROGRAM, "top", "--every", "100ms", "-c", CONFIG], variables)
        # The other end stays open, so that the terminal's settings can be read when it has gone.
        self.follower = follower
        self.text = b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds=0.05):
        if select.select([self.leader], [], [], seconds)[0]:
            self.text += os.read(self.leader, 65536)

    def until(self, what, found):
        end = time.monotonic() + PATIENCE
        while not found():
            assert time.monotonic() < end, f"{what} has not come: {self.text[-3000:]!r}"
            self.read()

    def shows(self, text):
        self.until(text, lambda: text in self.drawn())

    def drawn(self):
        """What the screen looks like: only what has changed is written, wherever that is."""
        cells, row, column = {}, 0, 0
        pieces = re.findall(r"\x1b\[([0-9;?]*)([a-zA-Z])|\x1b[()].|\x1b.|([^\x1b])", self.text.decode(errors="replace"))
        for numbers, final, character in pieces:
            if final == "H":
                row, column = (int(number) - 1 for number in (numbers or "1;1").split(";"))
            elif final == "J":
                cells = {}
            elif character:
                cells[row, column] = character
                column += 1
        lines = {}
        for (row, column), character in sorted(cells.items()):
            lines.setdefault(row, {})[column] = character
        return "\n".join(
            "".join(line.get(column, " ") for column in range(max(line) + 1)) for line in lines.values()
        )

    def press(self, keys):
        os.write(self.leader, keys.encode())

    def close(self):
        os.close(self.leader)
        os.close(self.follower)

    def gone(self):
        """Waits for the end of one that has no terminal to be looked at any more."""
        end = time.monotonic() + PATIENCE
        while not os.waitpid(self.pid, os.WNOHANG)[0]:
            assert time.monotonic() < end, "it lives on without a terminal"
            time.sleep(0.02)

    def end(self):
        """How it has ended; the terminal has to be as it was."""
        ended = []

        def has_ended():
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            ended.append(status) if pid else None
            return bool(pid)

        self.until("the end", has_ended)
        self.read()
        assert termios.tcgetattr(self.leader) == self.before, "the terminal's settings are back"
        assert b"\x1b[?1049l" in self.text, f"the other screen is back: {self.text!r}"
        self.close()
        return os.waitstatus_to_exitcode(ended[0])


def client():
    stream = socket.create_connection((HOST, int(PORT)))
    stream.settimeout(PATIENCE)
    stream.sendall(b"ping")
    assert stream.recv(4) == b"ping"
    return stream


def used():
    first = client()
    screen = Screen()
    screen.shows("smartproxy ")
    screen.shows("1 connections by rate")
    screen.shows("echo")
    assert b"\x1b[?1049h" in screen.text, "it has a screen of its own"
    assert re.search(COLOUR, screen.text), "it is coloured"

    def in_rate():
        """What the second line says of bytes by the second; moves some meanwhile."""
        first.sendall(b"x" * 4096)
        left = 4096
        while left:
            left -= len(first.recv(left))
        return re.search(r"[1-9][0-9.]*(KiB|MiB)/s in", screen.drawn())

    screen.until("a rate", in_rate)
    screen.press("s")
    screen.shows("1 connections by bytes")
    screen.press("/")
    screen.shows("filter: _")
    screen.press("state=serving\r")
    screen.shows("0 connections of state=serving")
    screen.press("/" + "\x7f" * 20 + "\r")
    screen.shows("1 connections by bytes")
    screen.text = b""
    screen.resize(20, 100)
    os.kill(screen.pid, signal.SIGWINCH)
    screen.shows("1 connections by bytes")
    assert max(map(len, screen.drawn().splitlines())) <= 100, "it is drawn in the new size"

    # Anything but a y leaves the connection alone.
    screen.press("k")
    screen.shows("kill connection")
    screen.press("n")
    screen.shows("q quit")
    first.sendall(b"more")
    assert first.recv(4) == b"more"
    screen.press("k")
    screen.shows("kill connection")
    screen.press("y")
    screen.shows("is killed")
    try:
        assert first.recv(1) == b"", "nothing comes but the end"
    except ConnectionResetError:
        pass
    screen.text = b""
    screen.resize(40, 160)
    os.kill(screen.pid, signal.SIGWINCH)
    screen.shows("0 connections by bytes")
    screen.until("its cause", lambda: re.search(r"killed +operator +1", screen.drawn()))
    screen.press("q")
    assert screen.end() == 0

    # A signal gives the terminal back too.
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        screen = Screen()
        screen.shows("connections by rate")
        screen.text = b""
        os.kill(screen.pid, number)
        assert screen.end() == 0

    screen = Screen(NO_COLOR="1")
    screen.shows("connections by rate")
    assert not re.search(COLOUR, screen.text), f"no colour: {screen.text!r}"
    screen.press("\x03")
    assert screen.end() == 0


def left():
    # A terminal that goes away takes it along whatever it is at, though nobody can read its keys any more, and though it may not be told.
    second = client()
    leaving = []
    for keys, seen in (("", "1 connections by rate"), ("/ab", "filter: ab_"), ("k", "kill connection")):
        for deaf in (False, True):
            screen = Screen(deaf=deaf)
            screen.shows("1 connections by rate")
            screen.press(keys)
            screen.shows(seen)
            screen.close()
            leaving.append(screen)
        for number in (signal.SIGTERM, signal.SIGHUP):
            screen = Screen()
            screen.shows("1 connections by rate")
            screen.press(keys)
            screen.shows(seen)
            os.kill(screen.pid, number)
            assert screen.end() == 0

    # Nor does one that takes nothing any more (Control-S) hold it.
    screen = Screen()
    screen.shows("connections by rate")
    termios.tcflow(screen.follower, termios.TCOOFF)
    os.kill(screen.pid, signal.SIGTERM)
    leaving.append(screen)

    def tmux(*words):
        return subprocess.run(["tmux", "-L", f"top-{os.getpid()}", *words], capture_output=True, text=True, timeout=PATIENCE)

    # The server of many terminals ends with all of them at once.
    if shutil.which("tmux"):
        started = tmux("-f", "/dev/null", "new", "-d", "-x", "130", "-y", "40", "exec " + shlex.join([PROGRAM, "top", "-c", CONFIG]))
        assert started.returncode == 0, started
        pane = int(tmux("list-panes", "-a", "-F", "#{pane_pid}").stdout)
        watched = os.pidfd_open(pane)
        try:
            end = time.monotonic() + PATIENCE
            while "connections by rate" not in tmux("capture-pane", "-p").stdout:
                assert time.monotonic() < end, "it is not shown in tmux"
                time.sleep(0.05)
        finally:
            tmux("kill-server")
        assert select.select([watched], [], [], PATIENCE)[0], "it outlives tmux"
        os.close(watched)

    # All of them at once: each takes the time that it gives the one who reads the keys.
    for screen in leaving:
        screen.gone()
    second.close()


{"used": used, "left": left}[PART]()
