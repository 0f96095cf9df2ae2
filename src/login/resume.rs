//! The first frame on a message server's connection, and the answer to it.

use super::code::Code;
use super::error::LoginError;
use super::fields::Reader;
use super::name::Name;
use super::secret::Secret;

/// What the frame begins with: the protocol and its version.
const LABEL: &[u8; 16] = b"skyring resume 1";

const PROOF_BYTES: usize = 32;

/// A client's wish to have its session on this connection.
#[derive(Debug)]
pub(super) struct Resume<'a> {
    pub(super) name: Name,
    pub(super) index: u32,
    frame: &'a [u8],
}

/// Writes the frame of a client that knows the secret.
pub(super) fn write(name: &Name, index: u32, secret: &Secret) -> Vec<u8> {
    let mut frame = LABEL.to_vec();
    frame.extend_from_slice(&index.to_be_bytes());
    name.write(&mut frame);
    let proof = secret.derive(&[b"client resumes"]).prove(&[&frame]);
    frame.extend_from_slice(&proof);
    frame
}

impl<'a> Resume<'a> {
    /// Reads the frame; whether its proof holds is not known yet.
    pub(super) fn read(frame: &'a [u8]) -> Option<Resume<'a>> {
        let (told, _) = frame.split_last_chunk::<PROOF_BYTES>()?;
        let mut reader = Reader::new(told);
        (reader.array()? == *LABEL).then_some(())?;
        let index = reader.u32()?;
        let name = Name::read(&mut reader)?;
        reader.end()?;
        Some(Resume { name, index, frame })
    }

    /// Whether the client knows the secret.
    pub(super) fn is_proved(&self, secret: &Secret) -> bool {
        let (told, proof) = self.frame.split_last_chunk().expect("read found a proof");
        secret.derive(&[b"client resumes"]).accepts(&[told], proof)
    }

    /// The answer of a server that knows the secret, too: `200` and its proof.
    pub(super) fn accept(&self, secret: &Secret) -> Vec<u8> {
        let mut answer = resume_refusal(Code::Ok);
        answer.extend_from_slice(&secret.derive(&[b"server resumes"]).prove(&[self.frame]));
        answer
    }
}

/// The frame by which a message server refuses a connection, without a proof: there may be no secret
/// to prove it with.
pub fn resume_refusal(code: Code) -> Vec<u8> {
    code.number().to_be_bytes().to_vec()
}

/// Reads the answer to `frame`.
///
/// # Errors
/// [`LoginError`]: refused, or not from the server.
pub(super) fn check(answer: &[u8], frame: &[u8], secret: &Secret) -> Result<(), LoginError> {
    let mut reader = Reader::new(answer);
    match reader.u16().and_then(Code::from_number).ok_or(LoginError::Malformed)? {
        Code::Ok => {
            let proof = reader.array().ok_or(LoginError::Malformed)?;
            reader.end().ok_or(LoginError::Malformed)?;
            let holds = secret.derive(&[b"server resumes"]).accepts(&[frame], &proof);
            holds.then_some(()).ok_or(LoginError::Proof)
        }
        code => {
            reader.end().ok_or(LoginError::Malformed)?;
            Err(LoginError::Refused(code))
        }
    }
}
