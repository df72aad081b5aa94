//! Stories over loopback: raw sockets as clients, scripted targets, and the books checked at the end of each.

mod endings;
mod engine;
mod frames;
mod framing;
mod http2;
mod http2_bodies;
mod http2_connections;
mod http2_interim;
mod http2_messages;
mod http2_refusals;
mod http2_target;
mod leaving;
mod messages;
mod pairs;
mod pooling;
mod rates;
mod seats;
mod splicing;
mod stale;
mod tunnel_frames;
mod tunnels;
mod websocket;
mod websocket_targets;
mod world;
