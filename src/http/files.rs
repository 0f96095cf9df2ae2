//! Files of a folder, read off the reactor (RFC 9110, sections 8.8, 13 and 14).
//!
//! ```text
//!   path ─▶ names, none hidden ─▶ openat2(RESOLVE_BENEATH) ─▶ stat ─▶ short: read at once
//!                                  a blocking thread           └▶ long: piece by piece, as the peer
//!                                                                 reads, by the lane
//! ```
//! A short file is opened and read by one call on a blocking thread: openat2 has no form on the lane's
//! ring, and a second hop would cost a third more CPU (1.3 to 1.4 times, 1 KB). A long one is read by
//! the lane, which costs a tenth more where the file lies in memory (1.10 [1.09, 1.13], 1 MB), and
//! where it does not holds none of the few blocking threads: four slow readers would stop everything
//! else that blocks, the names of outgoing connections among it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::outgoing::Outgoing;
use super::ranges::{Conditions, Verdict, judge};
use super::refusal::Refusal;
use super::request::Request;
use super::response::Response;
use crate::error::{Error, Result};
use crate::reactor::blocking::blocking;
use crate::wire::http::write_date;

/// A file up to this size is read with its opening, and sent as one.
const WHOLE_BYTES_MAX: u64 = 64 * 1024;
/// What is read of a longer one at a time.
const PIECE_BYTES: usize = 128 * 1024;

/// A folder whose files are served.
#[derive(Clone)]
pub(super) struct Folder(Arc<OwnedFd>);

/// A file that was found.
struct Found {
    file: File,
    len: u64,
    modified_ns: u128,
    /// All of it, if it is short.
    whole: Option<Vec<u8>>,
    content_type: &'static str,
}

enum Looked {
    Found(Found),
    Folder,
    Missing,
}

impl Folder {
    pub(super) fn open(root: &Path) -> Result<Folder> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(root, flags, Mode::empty());
        let folder = opened.map_err(|errno| {
            Error::from(format!("cannot serve the files of {}: {errno}", root.display()))
        })?;
        Ok(Folder(Arc::new(folder)))
    }

    /// Answers with the file that the parameter `path` names.
    pub(super) async fn serve(&self, request: &Request) -> Result<Response> {
        let missing = || Refusal::new(404, "Not found");
        let path = request.param("path").ok_or_else(missing)?.into_owned();
        if !is_plain(&path) {
            return Err(missing().into());
        }
        let folder = self.clone();
        let busy = |_| Refusal::new(503, "Too many files are being read");
        match blocking(move || folder.look(&path)).await.map_err(busy)?? {
            Looked::Found(found) => found.answer(request),
            // Links within its index are meant from inside.
            Looked::Folder => {
                Ok(Response::new(308).header("location", &format!("{}/", request.path()))?)
            }
            Looked::Missing => Err(missing().into()),
        }
    }

    /// Runs off the reactor.
    fn look(&self, path: &str) -> io::Result<Looked> {
        let is_folder = path.is_empty() || path.ends_with('/');
        let name = if is_folder { format!("{path}index.html") } else { path.to_owned() };
        // Not to wait for a writer of a named pipe.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let opened = loop {
            match openat2(&*self.0, &*name, flags, Mode::empty(), resolve) {
                // A rename meanwhile: the kernel is not sure that it stayed beneath.
                Err(Errno::AGAIN | Errno::INTR) => {}
                opened => break opened,
            }
        };
        let file = match opened {
            Ok(file) => File::from(file),
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::IO) => {
                return Err(opened.expect_err("looked at").into());
            }
            Err(_) => return Ok(Looked::Missing),
        };
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Ok(Looked::Folder);
        }
        if !meta.is_file() {
            return Ok(Looked::Missing);
        }
        let len = meta.len();
        let mut whole = None;
        if len <= WHOLE_BYTES_MAX {
            let mut bytes = vec![0; len as usize];
            file.read_exact_at(&mut bytes, 0)?;
            whole = Some(bytes);
        }
        let seconds = u128::try_from(meta.mtime()).unwrap_or(0);
        let nanos = u128::try_from(meta.mtime_nsec()).unwrap_or(0);
        let modified_ns = seconds * 1_000_000_000 + nanos;
        Ok(Looked::Found(Found { file, len, modified_ns, whole, content_type: type_of(&name) }))
    }
}

impl Found {
    fn answer(self, request: &Request) -> Result<Response> {
        let Found { file, len, modified_ns, whole, content_type } = self;
        let modified = (modified_ns / 1_000_000_000) as u64;
        let tag = format!("\"{modified_ns:x}-{len:x}\"");
        let date = write_date(modified);
        let conditions = Conditions {
            wanted_match: request.header("if-match"),
            unmodified_since: request.header("if-unmodified-since"),
            none_match: request.header("if-none-match"),
            modified_since: request.header("if-modified-since"),
            range: request.header("range"),
            if_range: request.header("if-range"),
        };
        let (status, start, end) = match judge(&conditions, &tag, modified, len) {
            Verdict::Whole => (200, 0, len),
            Verdict::Part(start, end) => (206, start, end),
            Verdict::NotModified => (304, 0, 0),
            Verdict::Refused => {
                return Ok(super::refusal::said(412, "The file is another one by now."));
            }
            Verdict::Unsatisfiable => {
                let range = format!("bytes */{len}");
                let refused = super::refusal::said(416, "The file has no such range.");
                return Ok(refused.header("content-range", &range)?);
            }
        };
        let mut response = match whole {
            _ if status == 304 => Response::new(200),
            Some(mut bytes) => {
                bytes.truncate(end as usize);
                bytes.drain(..start as usize);
                Response::bytes(content_type, bytes)
            }
            None => stream(content_type, file, start, end),
        };
        response = response
            .status(status)
            .header("etag", &tag)?
            .header("last-modified", std::str::from_utf8(&date).expect("dates are ASCII"))?
            .header("accept-ranges", "bytes")?;
        if status == 206 {
            let range = format!("bytes {start}-{}/{len}", end - 1);
            response = response.header("content-range", &range)?;
        }
        Ok(response)
    }
}

fn stream(content_type: &'static str, file: File, start: u64, end: u64) -> Response {
    let write = async move |out: &mut Outgoing| {
        let file = Arc::new(file);
        let mut at = start;
        while at < end {
            let count = PIECE_BYTES.min(usize::try_from(end - at).unwrap_or(usize::MAX));
            let file = file.clone();
            out.write(read(file, count, at).await?).await?;
            at += count as u64;
        }
        Ok(())
    };
    Response::stream(content_type, write).length(end - start)
}

/// Reads a piece of a long file: by the lane, unless that is full or cannot run here. The head has left
/// by then, so a refusal would cut the file.
async fn read(file: Arc<File>, count: usize, at: u64) -> Result<Vec<u8>> {
    #[cfg(feature = "lane")]
    match crate::lane::read_exact_at(file.clone(), count, at).await {
        Err(Error::Other(cause)) if is_without_lane(&*cause) => {}
        read => return read,
    }
    let read = move || {
        let mut piece = vec![0; count];
        file.read_exact_at(&mut piece, at).map(|()| piece)
    };
    Ok(blocking(read).await??)
}

/// Whether the lane has taken nothing on.
#[cfg(feature = "lane")]
fn is_without_lane(cause: &(dyn std::error::Error + 'static)) -> bool {
    use crate::lane::LaneError::{Full, Unavailable};
    matches!(cause.downcast_ref(), Some(Full(_) | Unavailable(_)))
}

/// Whether a decoded path may be looked for: no way up, and nothing hidden, but what is hidden on
/// purpose (RFC 8615).
fn is_plain(path: &str) -> bool {
    let mut names = path.split('/').peekable();
    let mut is_first = true;
    while let Some(name) = names.next() {
        let is_well_known = is_first && name == ".well-known";
        is_first = false;
        let is_last = names.peek().is_none();
        if name.is_empty() && !is_last || name.starts_with('.') && !is_well_known {
            return false;
        }
    }
    !path.contains(['\\', '\0'])
}

/// What a file holds, by its extension.
fn type_of(name: &str) -> &'static str {
    let extension = name.rsplit(['/', '.']).next().unwrap_or_default().to_ascii_lowercase();
    match &*extension {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "txt" | "md" | "log" => "text/plain; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "json" | "map" => "application/json",
        "xml" => "application/xml",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_no_way_up_and_nothing_hidden() {
        for good in ["", "a", "a/", "a/b.txt", ".well-known/x", "a..b", "a b"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in [
            "..",
            "a/../b",
            "../a",
            ".",
            "a/.",
            "/a",
            "a//b",
            ".env",
            "a/.git/x",
            "a\\b",
            "x/.well-known",
        ] {
            assert!(!is_plain(bad), "{bad}");
        }
    }

    #[test]
    fn a_type_follows_from_the_extension() {
        assert_eq!(type_of("a.b/c.PNG"), "image/png");
        assert_eq!(type_of("a.css/x"), "application/octet-stream");
    }
}
