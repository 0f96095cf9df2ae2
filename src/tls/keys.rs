//! Keys as they come from rustls: at the end of the handshake, and anew behind it.

use rustls::client::ClientConnectionData;
use rustls::crypto::cipher::{AeadKey, Iv, MessageDecrypter};
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{ConnectionTrafficSecrets, SupportedCipherSuite};

use super::breach::Alert;

/// The key schedule of one side.
pub(super) trait Keys: Send {
    /// A ticket of the server, by which its client may resume (RFC 8446, 4.6.1).
    fn hear_ticket(&mut self, body: &[u8]) -> Result<(), Alert>;

    /// The next key of what is received, and the number of its first record.
    fn next_received(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Alert>;

    /// The next key of what is sent, and the number of its first record.
    fn next_sent(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Alert>;
}

impl Keys for KernelConnection<ClientConnectionData> {
    fn hear_ticket(&mut self, body: &[u8]) -> Result<(), Alert> {
        self.handle_new_session_ticket(body).map_err(|_| Alert::DECODE_ERROR)
    }

    fn next_received(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Alert> {
        self.update_rx_secret().map_err(|_| Alert::INTERNAL_ERROR)
    }

    fn next_sent(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Alert> {
        self.update_tx_secret().map_err(|_| Alert::INTERNAL_ERROR)
    }
}

impl Keys for KernelConnection<ServerConnectionData> {
    /// Clients give none.
    fn hear_ticket(&mut self, _: &[u8]) -> Result<(), Alert> {
        Err(Alert::UNEXPECTED_MESSAGE)
    }

    fn next_received(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Alert> {
        self.update_rx_secret().map_err(|_| Alert::INTERNAL_ERROR)
    }

    fn next_sent(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Alert> {
        self.update_tx_secret().map_err(|_| Alert::INTERNAL_ERROR)
    }
}

/// What opens records of this key.
pub(super) fn decrypter(
    suite: SupportedCipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageDecrypter>, Alert> {
    let (key, iv) = parts(secrets)?;
    Ok(match suite {
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.decrypter(key, iv),
        SupportedCipherSuite::Tls12(suite) => {
            let fixed = suite.aead_alg.key_block_shape().fixed_iv_len;
            suite.aead_alg.decrypter(key, &iv.as_ref()[..fixed])
        }
    })
}

fn parts(secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), Alert> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(Alert::INTERNAL_ERROR), // of a provider that is not ours
    }
}
