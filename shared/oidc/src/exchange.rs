//! One HTTP exchange with the provider.

use reqwest::{RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;

use crate::Error;

/// Maximum size of an answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// An HTTP answer.
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    pub(crate) fn success(self) -> Result<Self, Error> {
        if self.status.is_success() {
            Ok(self)
        } else {
            Err(Error::unavailable(format_args!("status {}", self.status)))
        }
    }

    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        // The error would quote the answer, which has tokens.
        serde_json::from_slice(&self.body).map_err(|_| Error::unavailable("its answer is not as expected"))
    }
}

/// Sends a request and reads the whole answer.
pub(crate) async fn send(request: RequestBuilder) -> Result<Answered, Error> {
    let failed = |error: reqwest::Error| Error::unavailable(error.without_url());
    let mut response = request.header("accept", "application/json").send().await.map_err(failed)?;
    let (status, mut body) = (response.status(), Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(Error::unavailable("its answer is too large"));
        }
    }
    Ok(Answered { status, body })
}
