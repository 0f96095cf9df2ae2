//! A WebSocket echo by tokio-tungstenite.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::framing::PAYLOAD_BYTES_MAX;

/// Serves one connection. What came together is answered by one write: `feed` queues, and the flush
/// follows when nothing more has come. `read_bytes` are zeroed before each read, so the crate's own
/// 128 KiB would make it slow.
pub(super) async fn serve(stream: TcpStream, read_bytes: usize) {
    let config = WebSocketConfig::default()
        .read_buffer_size(read_bytes)
        .max_message_size(Some(PAYLOAD_BYTES_MAX))
        .max_frame_size(Some(PAYLOAD_BYTES_MAX));
    let Ok(socket) = accept_async_with_config(stream, Some(config)).await else { return };
    let (mut output, input) = socket.split();
    let mut ready = input.ready_chunks(64);
    while let Some(messages) = ready.next().await {
        for message in messages {
            // An error is the peer's.
            let Ok(message) = message else { return };
            let is_data = message.is_text() || message.is_binary();
            if is_data && output.feed(message).await.is_err() {
                return;
            }
        }
        if output.flush().await.is_err() {
            return;
        }
    }
}
