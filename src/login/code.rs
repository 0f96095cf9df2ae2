//! What a server answers to a login, to a resume and to a request.

use std::fmt;

use crate::error::Error;

/// An answer's number. Skynet's, where Skynet has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// 200: done.
    Ok,
    /// 400: the peer does not keep to the protocol, or its proof is wrong.
    BadRequest,
    /// 401: the credentials, or the proof of the session's secret, are wrong.
    Unauthorized,
    /// 403: at a login, the user may not enter; at a resume, the index is not above all before.
    Forbidden,
    /// 404: there is no such session, or no more. Log in again.
    NotFound,
    /// 406: the user has a session already, and may have no other.
    NotAcceptable,
    /// 412: the request was handled before, and its reply is not kept any more.
    Forgotten,
    /// 500: the handler of the request failed.
    Failed,
    /// 503: the server has no room at the moment. Try again later.
    Busy,
}

impl Code {
    const ALL: [Code; 9] = [
        Code::Ok,
        Code::BadRequest,
        Code::Unauthorized,
        Code::Forbidden,
        Code::NotFound,
        Code::NotAcceptable,
        Code::Forgotten,
        Code::Failed,
        Code::Busy,
    ];

    /// The number, as it is sent.
    pub const fn number(self) -> u16 {
        match self {
            Code::Ok => 200,
            Code::BadRequest => 400,
            Code::Unauthorized => 401,
            Code::Forbidden => 403,
            Code::NotFound => 404,
            Code::NotAcceptable => 406,
            Code::Forgotten => 412,
            Code::Failed => 500,
            Code::Busy => 503,
        }
    }

    /// The code of a number.
    pub fn from_number(number: u16) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.number() == number)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Code::Ok => "done",
            Code::BadRequest => "not of this protocol, or a wrong proof",
            Code::Unauthorized => "wrong credentials",
            Code::Forbidden => "not allowed, or an index that was used",
            Code::NotFound => "no such session; log in again",
            Code::NotAcceptable => "the user has a session already",
            Code::Forgotten => "handled before, and the reply is not kept any more",
            Code::Failed => "the request failed",
            Code::Busy => "no room; try again later",
        };
        write!(f, "{} {text}", self.number())
    }
}

impl std::error::Error for Code {}

impl From<Code> for Error {
    fn from(code: Code) -> Error {
        Error::Other(code.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_its_number_and_back() {
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), Some(code));
        }
        let known = (0..=u16::MAX).filter(|&number| Code::from_number(number).is_some());
        assert_eq!(known.count(), Code::ALL.len());
    }
}
