//! Handshakes over loopback sockets.
