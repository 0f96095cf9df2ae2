//! HTTP/1.1 by hyper: the same two paths as skyring's server, answered with the same fields.

use std::convert::Infallible;

use ::hyper::body::{Bytes, Incoming};
use ::hyper::header::{CONTENT_TYPE, HeaderValue};
use ::hyper::server::conn::http1;
use ::hyper::service::service_fn;
use ::hyper::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::protocol::http::{ECHO, PLAINTEXT};
use crate::serve::PLAINTEXT_WORDS;

/// Serves one connection. `pipeline_flush` gathers the answers of pipelined requests into one
/// write, as this server's rivals in public benchmarks do.
pub(super) async fn serve(stream: TcpStream, pipeline_flush: bool) {
    let connection = http1::Builder::new()
        .pipeline_flush(pipeline_flush)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    // An error is the peer's.
    let _ = connection.await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let known = (request.method().clone(), request.uri().path());
    let (content_type, body) = match known {
        (Method::GET, PLAINTEXT) => {
            ("text/plain; charset=utf-8", Bytes::from_static(PLAINTEXT_WORDS.as_bytes()))
        }
        (Method::POST, ECHO) => match request.into_body().collect().await {
            Ok(body) => ("application/octet-stream", body.to_bytes()),
            Err(_) => return Ok(status(StatusCode::BAD_REQUEST)),
        },
        _ => return Ok(status(StatusCode::NOT_FOUND)),
    };
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}
