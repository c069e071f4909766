//! Payloads on their way to and from the service: through the connection's remote codec, where it has
//! one.

use serde_json::Value;
use temporalio_protos::temporal::api::common::v1::{Payload, Payloads};

use crate::connection::CodecError;
use crate::payload::{self, Decoded};

use super::{CallError, Rpc, Temporal};

/// Payloads for a person and for expressions.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// What they hold, in order; where the codec failed, as they are stored.
    pub values: Vec<Decoded>,
    /// Why they are shown as they are stored.
    pub problem: Option<CodecError>,
}

impl Temporal {
    /// Arguments that a call of this kind may send: written by the default data converter, then encoded.
    /// None where there are none.
    ///
    /// # Errors
    /// As for [`Self::encode`].
    pub async fn arguments(
        &self,
        rpc: Rpc,
        values: &[Value],
    ) -> Result<Option<Payloads>, CallError> {
        let payloads = payload::encode_all(values).payloads;
        if payloads.is_empty() {
            return Ok(None);
        }
        let payloads = self.encode(rpc, payloads).await?;
        Ok(Some(Payloads { payloads }))
    }

    /// Payloads that a call of this kind may send: as the namespace's Workers store them. What was read
    /// from a history is encoded already and must not pass here.
    ///
    /// # Errors
    /// The codec failed: nothing was sent ([`CallError::nothing_happened`]).
    pub async fn encode(
        &self,
        rpc: Rpc,
        payloads: Vec<Payload>,
    ) -> Result<Vec<Payload>, CallError> {
        match self.connection().codec() {
            None => Ok(payloads),
            Some(codec) => codec.encode(payloads).await.map_err(|error| {
                CallError::unsendable(
                    rpc,
                    format!("{error}; nothing was sent (hint: {})", error.hint()),
                )
            }),
        }
    }

    /// Payloads as the data converter wrote them.
    ///
    /// # Errors
    /// The codec failed; [`Self::show`] goes on with what is stored.
    pub async fn decode(&self, payloads: Vec<Payload>) -> Result<Vec<Payload>, CodecError> {
        match self.connection().codec() {
            None => Ok(payloads),
            Some(codec) => codec.decode(payloads).await,
        }
    }

    /// What payloads hold. A codec that fails is no error here: it is said beside what is stored.
    pub async fn show(&self, payloads: Vec<Payload>) -> Shown {
        let stored = payloads.clone();
        let (payloads, problem) = match self.decode(payloads).await {
            Ok(decoded) => (decoded, None),
            Err(error) => (stored, Some(error)),
        };
        Shown {
            values: payloads.iter().map(payload::decode).collect(),
            problem,
        }
    }
}
