//! The state of the simulator, and the jobs that run in it.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use chrono::Utc;
use reqwest::{Client, header::CONTENT_TYPE, redirect::Policy};
use tokio::{runtime::Handle, time::sleep};
use uuid::Uuid;

use crate::{
    faults::Faults,
    gate::Gate,
    history::{History, ReceivedRequest, SentCallback},
    plan::{Answer, Job, Plan, STAGES, plan},
    state::{KeptJob, OpenJob, StateFile, now_ms},
};

const CALLBACK_TIMEOUT: Duration = Duration::from_secs(30);
/// After a start the receiver of callbacks may still be starting, so they are retried for this long, at this
/// interval.
const RESUME_FOR: Duration = Duration::from_secs(120);
const RESUME_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Simulator {
    stage_ms: u64,
    runtime: Handle,
    client: Client,
    state: Option<StateFile>,
    gate: Gate,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    faults: Faults,
    /// Time at which the faults are cleared automatically.
    faults_end: Option<Instant>,
    history: History,
    /// By the index of their request.
    open: BTreeMap<u64, KeptJob>,
}

impl Inner {
    fn forget_in_time(&mut self) {
        if self.faults_end.is_some_and(|end| Instant::now() >= end) {
            self.faults = Faults::default();
            self.faults_end = None;
        }
    }
}

/// The request headers that are recorded.
#[derive(Debug, Default)]
pub(crate) struct Headers {
    pub(crate) idempotency_key: Option<String>,
    pub(crate) traceparent: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) authorization: Option<String>,
}

impl Simulator {
    /// Loads the open jobs of the file `state`, which [`Self::resume`] continues.
    pub(crate) fn new(stage_ms: u64, state: Option<&Path>, runtime: Handle) -> Result<Self> {
        // A callback is sent once, so it must not be lost to a stale pooled connection.
        jaego_net::install_tls();
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .timeout(CALLBACK_TIMEOUT)
            .build()
            .context("cannot make an HTTP client: is the package ca-certificates installed?")?;
        let (state, jobs) = state.map(StateFile::open).transpose()?.unzip();
        let mut inner = Inner::default();
        for kept in jobs.into_iter().flatten() {
            let request = kept.open.request.clone();
            let index = inner.history.requests.push(|index| ReceivedRequest { index, ..request });
            inner.open.insert(index, kept);
        }
        Ok(Self { stage_ms, runtime, client, state, gate: Gate::open(), inner: Mutex::new(inner) })
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Resumes the jobs that an earlier simulator left open.
    pub(crate) fn resume(self: &Arc<Self>) {
        for (index, kept) in &self.lock().open {
            self.runtime.spawn(Arc::clone(self).make(*index, kept.open.clone(), true));
        }
    }

    /// Decides on a request, records it and returns the plan. The job starts with [`Self::begin`].
    pub(crate) fn receive(&self, headers: Headers, body: &[u8]) -> (ReceivedRequest, Plan) {
        let mut inner = self.lock();
        inner.forget_in_time();
        let plan = plan(&inner.faults, self.stage_ms, body, Uuid::now_v7);
        inner.faults = used_once(std::mem::take(&mut inner.faults));
        let mut request = ReceivedRequest {
            index: 0,
            at: Utc::now(),
            idempotency_key: headers.idempotency_key,
            traceparent: headers.traceparent,
            user_agent: headers.user_agent,
            content_type: headers.content_type,
            authorization: headers.authorization,
            body: String::from_utf8_lossy(body).into_owned(),
            answer_status: None,
            job_id: None,
            stage: 0,
        };
        request.index = inner.history.requests.push(|index| ReceivedRequest { index, ..request.clone() });
        (request, plan)
    }

    /// Records the response that is about to be sent, and starts the job. Fails without starting anything
    /// when the job cannot be stored.
    pub(crate) fn begin(
        self: &Arc<Self>,
        mut request: ReceivedRequest,
        answer: &Answer,
        job: Option<Job>,
    ) -> Result<()> {
        let index = request.index;
        request.answer_status = match answer {
            Answer::Status { status, .. } => Some(*status),
            Answer::Nothing => None,
        };
        request.job_id = job.as_ref().map(|job| job.id.to_string());
        let mut inner = self.lock();
        if let Some(job) = job {
            let open = OpenJob { request: request.clone(), job, sent: 0, begun_ms: now_ms() };
            inner.open.insert(index, KeptJob::new(open.clone())?);
            if let Err(error) = self.keep(&inner) {
                inner.open.remove(&index);
                return Err(error);
            }
            self.runtime.spawn(Arc::clone(self).make(index, open, false));
        }
        // The history may have dropped it by now.
        if let Some(recorded) = inner.history.requests.get_mut(index) {
            *recorded = request;
        }
        Ok(())
    }

    fn keep(&self, inner: &Inner) -> Result<()> {
        self.state.as_ref().map_or(Ok(()), |file| file.write(inner.open.values()))
    }

    async fn make(self: Arc<Self>, index: u64, open: OpenJob, resumed: bool) {
        for stage in 1..=STAGES {
            sleep(Duration::from_millis(open.until_stage(stage))).await;
            if let Some(request) = self.lock().history.requests.get_mut(index) {
                request.stage = stage;
            }
        }
        for (number, callback) in open.job.callbacks.iter().enumerate().skip(open.sent) {
            sleep(Duration::from_millis(open.until_callback(number))).await;
            let give_up_at = Instant::now() + RESUME_FOR;
            loop {
                let arrived = self.call_back(index, &open.job.callback_url, callback.body.clone(), None).await;
                if arrived || !resumed || Instant::now() >= give_up_at {
                    break;
                }
                sleep(RESUME_PAUSE).await;
            }
            // After the last callback the whole job is removed.
            if number + 1 < open.job.callbacks.len() {
                self.note_sent(index, OpenJob { sent: number + 1, ..open.clone() });
            }
        }
        let mut inner = self.lock();
        inner.open.remove(&index);
        self.keep(&inner).ok();
    }

    /// A callback that is not noted is sent again after the next start: a duplicate is better than a loss.
    fn note_sent(&self, index: u64, open: OpenJob) {
        let Ok(kept) = KeptJob::new(open) else { return };
        let mut inner = self.lock();
        inner.open.insert(index, kept);
        self.keep(&inner).ok();
    }

    /// False when the callback should be retried: no connection, or a server error.
    async fn call_back(&self, request_index: u64, url: &str, body: Vec<u8>, repeats: Option<u64>) -> bool {
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
        let arrived = match &answer {
            Ok(answer) => !answer.status().is_server_error(),
            Err(error) => !error.is_connect(),
        };
        if let Some(sent) = self.lock().history.callbacks.get_mut(index) {
            match answer {
                Ok(answer) => sent.status = Some(answer.status().as_u16()),
                // Without the URL, which is a capability.
                Err(error) => sent.error = Some(format!("{:#}", anyhow::Error::from(error.without_url()))),
            }
        }
        arrived
    }

    pub(crate) fn repeat(self: &Arc<Self>, index: u64) -> bool {
        let Some(sent) = self.lock().history.callbacks.get_mut(index).cloned() else { return false };
        let simulator = Arc::clone(self);
        self.runtime.spawn(async move {
            simulator.call_back(sent.request_index, &sent.url, sent.body.into_bytes(), Some(index)).await;
        });
        true
    }

    pub(crate) fn set_faults(&self, faults: Faults) -> std::result::Result<(), String> {
        faults.check()?;
        let mut inner = self.lock();
        inner.faults_end = faults.for_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
        inner.faults = faults;
        Ok(())
    }

    pub(crate) fn faults(&self) -> Faults {
        let mut inner = self.lock();
        inner.forget_in_time();
        inner.faults.clone()
    }

    pub(crate) fn clear_faults(&self) {
        let mut inner = self.lock();
        inner.faults = Faults::default();
        inner.faults_end = None;
    }

    pub(crate) fn requests(&self) -> Vec<ReceivedRequest> {
        self.lock().history.requests.all()
    }

    pub(crate) fn callbacks(&self) -> Vec<SentCallback> {
        self.lock().history.callbacks.all()
    }

    pub(crate) fn latest(&self, count: usize) -> (Vec<ReceivedRequest>, Vec<SentCallback>) {
        let inner = self.lock();
        (inner.history.requests.latest(count), inner.history.callbacks.latest(count))
    }

    pub(crate) fn clear_history(&self) {
        let mut inner = self.lock();
        inner.history.requests.clear();
        inner.history.callbacks.clear();
    }

    /// No lock holder can leave half a change behind, so a poisoned lock is still usable.
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
