//! The state of the simulator, and the jobs that run in it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::Utc;
use reqwest::{Client, header::CONTENT_TYPE};
use tokio::{runtime::Handle, time::sleep};
use uuid::Uuid;

use super::{
    faults::Faults,
    history::{History, ReceivedRequest, SentCallback},
    plan::{Answer, Job, Plan, STAGES, plan},
};

const CALLBACK_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Simulator {
    stage_ms: u64,
    runtime: Handle,
    client: Client,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    faults: Faults,
    history: History,
}

/// The headers of a request that matter.
#[derive(Debug, Default)]
pub(super) struct Headers {
    pub(super) idempotency_key: Option<String>,
    pub(super) traceparent: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) content_type: Option<String>,
}

impl Simulator {
    pub(super) fn new(stage_ms: u64, runtime: Handle) -> Self {
        let client = crate::http::client(CALLBACK_TIMEOUT);
        Self { stage_ms, runtime, client, inner: Mutex::default() }
    }

    /// Takes a request: decides, records, and answers what to do. The job starts with
    /// [`Self::begin`].
    pub(super) fn receive(&self, headers: Headers, body: &[u8]) -> (u64, Plan) {
        let mut inner = self.lock();
        let plan = plan(&inner.faults, self.stage_ms, body, Uuid::now_v7);
        inner.faults = used_once(std::mem::take(&mut inner.faults));
        let index = inner.history.requests.push(|index| ReceivedRequest {
            index,
            at: Utc::now(),
            idempotency_key: headers.idempotency_key,
            traceparent: headers.traceparent,
            user_agent: headers.user_agent,
            content_type: headers.content_type,
            body: String::from_utf8_lossy(body).into_owned(),
            answer_status: None,
            job_id: None,
            stage: 0,
        });
        (index, plan)
    }

    /// Records the answer that is about to be given, and starts the job.
    pub(super) fn begin(self: &Arc<Self>, index: u64, answer: &Answer, job: Option<Job>) {
        if let Some(request) = self.lock().history.requests.get_mut(index) {
            request.answer_status = match answer {
                Answer::Status { status, .. } => Some(*status),
                Answer::Nothing => None,
            };
            request.job_id = job.as_ref().map(|job| job.id.to_string());
        }
        if let Some(job) = job {
            self.runtime.spawn(Arc::clone(self).make(index, job));
        }
    }

    async fn make(self: Arc<Self>, index: u64, job: Job) {
        for stage in 1..=STAGES {
            sleep(Duration::from_millis(job.stage_ms)).await;
            if let Some(request) = self.lock().history.requests.get_mut(index) {
                request.stage = stage;
            }
        }
        for callback in job.callbacks {
            sleep(Duration::from_millis(callback.pause_ms)).await;
            self.call_back(index, &job.callback_url, callback.body, None).await;
        }
    }

    async fn call_back(&self, request_index: u64, url: &str, body: Vec<u8>, repeats: Option<u64>) {
        let index = self.lock().history.callbacks.push(|index| SentCallback {
            index,
            request_index,
            at: Utc::now(),
            url: url.to_owned(),
            body: String::from_utf8_lossy(&body).into_owned(),
            status: None,
            error: None,
            repeats,
        });
        let answer = self.client.post(url).header(CONTENT_TYPE, "application/json").body(body).send().await;
        if let Some(sent) = self.lock().history.callbacks.get_mut(index) {
            match answer {
                Ok(answer) => sent.status = Some(answer.status().as_u16()),
                Err(error) => sent.error = Some(error.to_string()),
            }
        }
    }

    pub(super) fn repeat(self: &Arc<Self>, index: u64) -> bool {
        let Some(sent) = self.lock().history.callbacks.get_mut(index).cloned() else { return false };
        let simulator = Arc::clone(self);
        self.runtime.spawn(async move {
            simulator.call_back(sent.request_index, &sent.url, sent.body.into_bytes(), Some(index)).await;
        });
        true
    }

    pub(super) fn set_faults(&self, faults: Faults) -> Result<(), String> {
        faults.check()?;
        self.lock().faults = faults;
        Ok(())
    }

    pub(super) fn faults(&self) -> Faults {
        self.lock().faults.clone()
    }

    pub(super) fn clear_faults(&self) {
        self.lock().faults = Faults::default();
    }

    pub(super) fn requests(&self) -> Vec<ReceivedRequest> {
        self.lock().history.requests.all()
    }

    pub(super) fn callbacks(&self) -> Vec<SentCallback> {
        self.lock().history.callbacks.all()
    }

    pub(super) fn latest(&self, count: usize) -> (Vec<ReceivedRequest>, Vec<SentCallback>) {
        let inner = self.lock();
        (inner.history.requests.latest(count), inner.history.callbacks.latest(count))
    }

    pub(super) fn clear_history(&self) {
        let mut inner = self.lock();
        inner.history.requests.clear();
        inner.history.callbacks.clear();
    }

    /// No lock holder can leave half a change behind, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The faults for the request after this one.
fn used_once(mut faults: Faults) -> Faults {
    match faults.for_next {
        None => faults,
        Some(0 | 1) => Faults::default(),
        Some(left) => {
            faults.for_next = Some(left - 1);
            faults
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_for_a_few_requests_end_by_themselves() {
        let faults = Faults { refuse_status: Some(500), for_next: Some(2), ..Faults::default() };
        let second = used_once(faults);
        assert_eq!((second.refuse_status, second.for_next), (Some(500), Some(1)));
        assert_eq!(used_once(second), Faults::default());
        let lasting = Faults { refuse_status: Some(500), ..Faults::default() };
        assert_eq!(used_once(lasting.clone()), lasting);
    }
}
