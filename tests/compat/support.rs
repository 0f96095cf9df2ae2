//! A hyper server on a skyring listener, and bodies that are written while they are read.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, server};
use skyring::compat::{Executor, Timer};
use skyring::net::{TcpListener, TcpStream};
use skyring::prelude::{Result, spawn};

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Gives back each piece as it comes, and says in the trailers how many there were.
struct Echo {
    incoming: Incoming,
    pieces: Option<u32>,
}

impl Body for Echo {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        loop {
            let next = std::task::ready!(Pin::new(&mut self.incoming).poll_frame(cx));
            let Some(frame) = next.transpose()? else { break };
            // HTTP/2 may end a stream by an empty piece.
            if let Some(data) = frame.into_data().ok().filter(|data| !data.is_empty()) {
                self.pieces = self.pieces.map(|pieces| pieces + 1);
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
        let Some(pieces) = self.pieces.take() else { return Poll::Ready(None) };
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        trailers.insert("x-pieces", pieces.into());
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

async fn answer(request: Request<Incoming>) -> Result<Answer, hyper::Error> {
    Ok(match request.uri().path() {
        "/echo" => {
            let echo = Echo { incoming: request.into_body(), pieces: Some(0) };
            let mut response = Response::new(UnsyncBoxBody::new(echo));
            response
                .headers_mut()
                .insert("content-type", HeaderValue::from_static("application/grpc"));
            response
                .headers_mut()
                .insert("trailer", HeaderValue::from_static("grpc-status, x-pieces"));
            response
        }
        "/collect" => {
            let len = request.into_body().collect().await?.to_bytes().len();
            said(len.to_string())
        }
        _ => said("Hello, HTTP/2!".to_owned()),
    })
}

fn said(text: String) -> Answer {
    Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync())
}

/// Serves a connection by the protocol that TLS has agreed on.
#[cfg(feature = "tls")]
pub(crate) async fn serve_secure(listener: TcpListener, tls: skyring::tls::Server) {
    while let Ok(stream) = listener.accept().await {
        let tls = tls.clone();
        spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let agreed = stream.tls().is_some_and(|tls| tls.speaks("h2"));
            let protocol = if agreed { Protocol::Http2 } else { Protocol::Http1 };
            serve_stream(stream, protocol).await;
        });
    }
}

/// Accepts until the engine stops.
pub(crate) async fn serve(listener: TcpListener, protocol: Protocol) {
    while let Ok(stream) = listener.accept().await {
        spawn(serve_stream(stream, protocol));
    }
}

async fn serve_stream(stream: TcpStream, protocol: Protocol) {
    let service = service_fn(answer);
    // A peer that breaks off is no matter of the server's.
    let _ = match protocol {
        Protocol::Http1 => {
            let mut http1 = server::conn::http1::Builder::new();
            http1.timer(Timer).serve_connection(stream, service).await
        }
        Protocol::Http2 => {
            let mut http2 = server::conn::http2::Builder::new(Executor);
            http2.timer(Timer).serve_connection(stream, service).await
        }
    };
}

/// A body that its writer fills while the peer reads it. A frame of `None` ends it.
#[derive(Clone, Default)]
pub(crate) struct Channel(Rc<RefCell<Queue>>);

#[derive(Default)]
struct Queue {
    pieces: VecDeque<Option<Bytes>>,
    reader: Option<Waker>,
}

impl Channel {
    pub(crate) fn put(&self, piece: Option<Bytes>) {
        let mut queue = self.0.borrow_mut();
        queue.pieces.push_back(piece);
        let reader = queue.reader.take();
        drop(queue);
        reader.into_iter().for_each(Waker::wake);
    }
}

impl Body for Channel {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut queue = self.0.borrow_mut();
        match queue.pieces.pop_front() {
            Some(piece) => Poll::Ready(piece.map(|piece| Ok(Frame::data(piece)))),
            None => {
                queue.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

pub(crate) enum Requests<B> {
    Http1(hyper::client::conn::http1::SendRequest<B>),
    Http2(hyper::client::conn::http2::SendRequest<B>),
}

impl<B> Requests<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// A client of hyper's on a stream.
    pub(crate) async fn open(stream: TcpStream, protocol: Protocol) -> Result<Requests<B>> {
        Ok(match protocol {
            Protocol::Http1 => {
                let (requests, connection) = hyper::client::conn::http1::handshake(stream).await?;
                spawn(connection);
                Requests::Http1(requests)
            }
            Protocol::Http2 => {
                let mut http2 = hyper::client::conn::http2::Builder::new(Executor);
                let (requests, connection) = http2.timer(Timer).handshake(stream).await?;
                spawn(connection);
                Requests::Http2(requests)
            }
        })
    }

    pub(crate) async fn send(&mut self, request: Request<B>) -> Result<Response<Incoming>> {
        Ok(match self {
            Requests::Http1(requests) => requests.send_request(request).await?,
            Requests::Http2(requests) => requests.send_request(request).await?,
        })
    }
}
