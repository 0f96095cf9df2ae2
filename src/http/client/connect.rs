//! The one place where a client's connection is opened.

use super::error::ClientError;
use crate::net::TcpStream;
use crate::wire::http::Url;

/// Opens a connection to the origin of `url`.
pub(super) async fn open(url: &Url) -> Result<TcpStream, ClientError> {
    if url.is_secure() {
        return Err(ClientError::NoTls);
    }
    TcpStream::connect((url.host(), url.port())).await.map_err(ClientError::Connect)
}
