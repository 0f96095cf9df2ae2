//! Login and resume: who a client is, and that it stays so over lost connections.
//!
//! Skynet's `loginserver` and `msgserver` with today's parts: X25519, HKDF and HMAC with SHA-256,
//! ChaCha20-Poly1305, and Ed25519 for a server's identity. Both sides are here, without sockets and
//! without a clock: frames, random bytes and the time are arguments. The servers around them are
//! [`loginserver`](crate::loginserver) and [`msgserver`](crate::msgserver); docs/LOGIN.md teaches
//! them.
//!
//! # Login
//!
//! Every message is one frame of [`LengthPrefix::U16`](crate::LengthPrefix), as in all of a message
//! server's traffic: one framing for both phases, no base64, and one encoding for each message, so
//! that every bit counts. Numbers are big-endian; a *text* is a byte of length and UTF-8.
//!
//! ```text
//!   client                                              server
//!     │ hello   "skyring login 1\0" 16 │ key 32           │    refuses an unknown label
//!     │ ───────────────────────────────────────────────▶ │
//!     │   offer   1 │ challenge 32 │ key 32 │ proof 32    │
//!     │     or    2 │ challenge 32 │ key 32 │ identity 32 │ signature 64 │ proof 32
//!     │ ◀─────────────────────────────────────────────── │
//!     │ proof 32 │ sealed(len u16 │ token │ zeros) 64·n+16 │
//!     │ ───────────────────────────────────────────────▶ │    auth, then login: the user's
//!     │   result  3 │ sealed(200 u16 │ subid u64 │ user text │ server text) +16
//!     │     or    3 │ sealed(code u16) +16                 │
//!     │     or    0 │ code u16      at any moment, in plain│
//!     │ ◀─────────────────────────────────────────────── │
//! ```
//! Two round trips; Skynet needs three, since there the server begins and the token follows the
//! proof. Here the client begins: a connection that says nothing costs the server no key.
//!
//! *root* = HKDF-Extract(salt = SHA-256(hello, offer without its proof), X25519(keys)). Each key is
//! HKDF-Expand(root, its label): `server proves`, `client proves` (both prove by HMAC of that
//! digest), `credentials`, `result`, and the session's secret, whose label holds the digest of all
//! messages up to the client's last. So both sides have the same secret only if they have seen the
//! same bytes. Shared secrets of zeros are refused (RFC 7748 section 6.1). The key is fresh for each
//! login, and the challenge besides, so that no login can be repeated, not by a server that uses a
//! key twice either. Credentials are sealed, and padded to a multiple of 64 bytes.
//!
//! ## What is protected, and what is not
//!
//! | against | without identity, without TLS | with a pinned identity | behind TLS |
//! |---|---|---|---|
//! | one who listens: credentials and secret | safe, later too (forward secrecy) | safe | safe |
//! | one in the middle of the login | **not protected**: he can be a server to the client and a client to the server, and reads the token | noticed before the token is sent | safe |
//! | one who replays old frames | refused | refused | safe |
//! | one who listens to requests and replies | **not protected**: they are not sealed | **not protected** | safe |
//! | one in the middle of a message server's connection | **not protected**: the resume is proved, what follows is not | **not protected** | safe |
//!
//! A session cannot be taken by one who has only heard it: a resume needs the secret, which never
//! travels. Whoever can alter a connection on its way can speak on it; that is what TLS is for.
//! A refusal in plain (kind 0) may come from anybody: it can make a login fail, nothing else.
//!
//! # Resume
//!
//! ```text
//!   client                                                        server
//!     │ "skyring resume 1" 16 │ index u32 │ subid u64 │ user text │ server text │ proof 32
//!     │ ──────────────────────────────────────────────────────────▶ │
//!     │            200 u16 │ proof 32         or    code u16         │
//!     │ ◀────────────────────────────────────────────────────────── │
//!     │ number u32 │ request                                         │
//!     │ ──────────────────────────────────────────────────────────▶ │
//!     │            1 │ number u32 │ code u16 │ reply                  │
//!     │            2 │ what the server tells unasked                  │
//!     │ ◀────────────────────────────────────────────────────────── │
//! ```
//! The index of each connection is higher than of all before it, 1 at least. A client's proof is the
//! HMAC of what is before it, a server's that of the whole frame it answers, each by a key of its own
//! derived from the session's secret. Refused are 400 (not this protocol), 404 (no such session),
//! 401 (wrong proof), 403 (right proof, but the index was used): in this order, so that one without
//! the secret learns nothing of a session's index. A subid is a random number, so nobody finds out
//! by trying who is logged in. The last index is 4,294,967,295; after it the user logs in again.
//!
//! Numbers of requests count up by one from 1, and wrap. That is more than Skynet asks, and tells
//! *asked before* from *new* without remembering all. After a resume the client asks again whatever
//! was not answered; a request is handled once, and its reply sent again, or, if it is still being
//! handled, sent to the new connection when it is ready. [`REPLIES_MAX`] replies are kept, and
//! [`REPLIES_BYTES_MAX`] bytes of them; a client has no more than [`REPLIES_MAX`] requests open,
//! counted from the oldest, so the first bound never costs it a reply. The second may: then it hears
//! 412. What a server tells unasked is not kept.
//!
//! # Both sides
//!
//! | | login | resume and requests |
//! |---|---|---|
//! | client | [`Greeted`], [`Proved`] → [`LoggedIn`] | [`Requester`] |
//! | server | [`Offered`], [`Deciding`] | [`Sessions`], and for each session a [`Window`] |

mod client;
mod code;
mod error;
mod exchange;
mod fields;
mod identity;
mod name;
mod requester;
mod resume;
mod secret;
mod server;
mod table;
mod window;

pub use self::client::{Greeted, LoggedIn, Proved, Trust};
pub use self::code::Code;
pub use self::error::LoginError;
pub use self::exchange::TOKEN_BYTES_MAX;
pub use self::identity::{Identity, PublicIdentity};
pub use self::name::{NAME_BYTES_MAX, Name, NameError};
pub use self::requester::{Event, REQUEST_BYTES_MAX, RequestError, Requester};
pub use self::resume::resume_refusal;
pub use self::secret::Secret;
pub use self::server::{Deciding, Offered, Token, refusal};
pub use self::table::{
    Attached, Ended, Limits, Logins, Resumed, SESSION_KEEP, SESSIONS_MAX, Sessions,
};
pub use self::window::{
    Asked, Misuse, PUSH_BYTES_MAX, REPLIES_BYTES_MAX, REPLIES_MAX, REPLY_BYTES_MAX,
    REPLY_HEAD_BYTES, REQUEST_HEAD_BYTES, Window, push_frame, reply_frame, request_number,
};

#[cfg(test)]
mod tests;
