//! What the pool and its processes say to each other: a length of four bytes, then JSON.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    error::{Code, Error},
    limits::{FRAME_BYTES_MAX, Limits},
    wanted::{Made, Wanted},
};

/// One image to work on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) source: PathBuf,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) out: PathBuf,
    pub(crate) limits: Limits,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Made(Made),
    Refused { code: Code, detail: String },
    Wanted(String),
    Files(String),
}

impl From<Result<Made, Error>> for Answer {
    fn from(result: Result<Made, Error>) -> Self {
        match result {
            Ok(made) => Self::Made(made),
            Err(Error::Refused { code, detail }) => Self::Refused { code, detail },
            Err(Error::Wanted(detail)) => Self::Wanted(detail),
            Err(Error::Files(detail)) => Self::Files(detail),
            Err(other) => Self::Files(other.to_string()),
        }
    }
}

impl From<Answer> for Result<Made, Error> {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Made(made) => Ok(made),
            Answer::Refused { code, detail } => Err(Error::Refused { code, detail }),
            Answer::Wanted(detail) => Err(Error::Wanted(detail)),
            Answer::Files(detail) => Err(Error::Files(detail)),
        }
    }
}

/// A message with its length before it.
pub(crate) fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len())
        .map_err(io::Error::other)?
        .to_le_bytes();
    Ok([&length[..], &body].concat())
}

/// The length of the message behind these four bytes.
pub(crate) fn length(bytes: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(bytes) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other("a message that is too long"));
    }
    Ok(length)
}

/// Reads a message; none where the other side has closed.
pub(crate) fn read<M: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<M>> {
    let mut begin = [0; 4];
    match from.read_exact(&mut begin) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut body = vec![0; length(begin)?];
    from.read_exact(&mut body)?;
    Ok(Some(serde_json::from_slice(&body)?))
}

/// Writes a message.
pub(crate) fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&frame(message)?)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_arrives_as_it_was_sent() -> io::Result<()> {
        let errors = || {
            [
                Error::truncated("too short"),
                Error::Wanted("a size".to_owned()),
                Error::Files("the disk is full".to_owned()),
            ]
        };
        let mut pipe = Vec::new();
        for error in errors() {
            write(&mut pipe, &Answer::from(Err(error)))?;
        }

        let mut pipe = pipe.as_slice();
        for sent in errors() {
            let answer = read::<Answer>(&mut pipe)?.map(Result::from);
            let arrived = answer.and_then(Result::err).expect("an error");
            assert_eq!(arrived.code(), sent.code());
            assert_eq!(arrived.to_string(), sent.to_string());
        }
        assert!(read::<Answer>(&mut pipe)?.is_none());
        Ok(())
    }

    #[test]
    fn a_length_beyond_the_bound_is_not_believed() {
        assert!(length([0xff; 4]).is_err());
    }
}
