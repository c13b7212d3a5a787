//! What conversations say: which protocol, and its messages.
//!
//! Owns: [`Apps`], who hears the conversations of a shard; [`Talk`], what one of them keeps; the list of recognisers; the parsers.
//! A new protocol is a file with a `recognise` and a line in `list.rs`. Nothing is heard any more once what is wanted is known.
//! Never: names of applications (that is `enrich`), rows.

mod access;
mod announce;
mod ber;
mod body;
mod certificate;
mod dns;
mod ear;
mod expect;
mod ftp;
mod head;
mod hello;
mod hosts;
mod http;
mod http2;
mod industry;
mod known;
mod list;
mod listener;
mod magic;
mod mail;
mod media;
mod message;
mod netbios;
mod octets;
mod peek;
mod peers;
mod quic;
mod reader;
mod routing;
mod rpc;
mod sip;
mod start_line;
mod stores;
mod talk;
mod text;
mod things;
mod tls;
mod tpkt;
mod vendors;
mod vpn;

pub use certificate::Certificate;
pub use dns::Dns;
pub use expect::Transfer;
pub use head::Head;
pub use hello::{ClientHello, ServerHello};
pub use known::{Before, Known};
pub use listener::{Ears, Found, Listener, recognised};
pub use message::{Deaf, Message, Visitor, Wishes};
pub use talk::{Apps, Ends, Heard, Talk};
