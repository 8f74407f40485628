//! What goes with a request that was let pass, or with the answer to one that was not.

use std::time::Duration;

use hotswap_h1::Head;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, RETRY_AFTER,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::compress::Wanted;
use super::fleet::{Question, Verdict};
use super::state::Slot;
use crate::reason::Reason;

/// What a backend says about other origins, where the gateway says it.
const OF_CORS: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// The fields of a head, however an engine holds it.
pub trait Fields {
    /// Takes away every field of a name.
    fn take_away(&mut self, name: &HeaderName);
    /// Puts a field beside those of its name.
    fn put(&mut self, name: &HeaderName, value: &HeaderValue);
    /// Shows every value of a name.
    fn each(&self, name: &HeaderName, visit: &mut dyn FnMut(&[u8]));
}

/// What goes with a request to its end.
#[derive(Debug, Default)]
pub struct Admitted {
    /// Its place among those under way.
    slot: Option<Slot>,
    delay: Option<Duration>,
    max_body: Option<u64>,
    status: Option<StatusCode>,
    /// Goes to the client; what is of CORS stands in the place of the backend's.
    told: Vec<(HeaderName, HeaderValue)>,
    of_cors: bool,
    /// A copy of the request goes to the route's mirror.
    mirrored: bool,
    /// How the answer may be compressed.
    wanted: Option<Wanted>,
    /// Is to be asked before it goes on.
    question: Option<Box<Question>>,
    /// Of the request, the backend does not get these from the client.
    left_out: Vec<HeaderName>,
    /// It gets these.
    sent: Vec<(HeaderName, HeaderValue)>,
}

impl Admitted {
    /// Whether there is nothing to remember.
    pub(super) fn is_empty(&self) -> bool {
        let Self { slot, delay, max_body, status, told, of_cors, mirrored, wanted, question, left_out, sent } =
            self;
        let times = delay.is_none() && max_body.is_none() && status.is_none();
        let flags = *of_cors || *mirrored || wanted.is_some() || question.is_some();
        slot.is_none() && times && told.is_empty() && !flags && left_out.is_empty() && sent.is_empty()
    }

    pub(super) fn hold(&mut self, slot: Slot) {
        self.slot = Some(slot);
    }

    pub(super) fn wait(&mut self, delay: Duration) {
        self.delay = Some(delay);
    }

    pub(super) fn limit_body(&mut self, most: u64) {
        self.max_body = Some(most);
    }

    pub(super) fn answer_with(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    pub(super) fn tell(&mut self, name: HeaderName, value: HeaderValue) {
        self.told.push((name, value));
    }

    pub(super) fn tell_retry_after(&mut self, seconds: u64) {
        self.tell(RETRY_AFTER, HeaderValue::from(seconds));
    }

    /// What a backend says about other origins is left out.
    pub(super) fn speaks_of_origins(&mut self) {
        self.of_cors = true;
    }

    /// The backend does not get this header of the client's.
    pub(super) fn leave_out(&mut self, name: &HeaderName) {
        self.left_out.push(name.clone());
    }

    /// The backend gets this.
    pub(super) fn send(&mut self, name: HeaderName, value: HeaderValue) {
        self.sent.push((name, value));
    }

    /// What the backend gets in a header of the gateway's own; `None`: it is none of those.
    pub(super) fn sends(&self, name: &HeaderName) -> Option<Option<&HeaderValue>> {
        let sent = self.sent.iter().find(|(sent, _)| sent == name).map(|(_, value)| value);
        (sent.is_some() || self.left_out.contains(name)).then_some(sent)
    }

    /// The fields that the backend does not get as the client says them.
    pub fn taken_out(&self) -> impl Iterator<Item = &HeaderName> {
        self.left_out.iter().chain(self.sent.iter().map(|(name, _)| name))
    }

    /// Brings the head of the request into the form that the backend gets.
    pub fn edit_request(&self, head: &mut impl Fields) {
        self.left_out.iter().for_each(|name| head.take_away(name));
        self.sent.iter().for_each(|(name, value)| head.put(name, value));
    }

    pub(super) fn compress(&mut self, wanted: Wanted) {
        self.wanted = Some(wanted);
    }

    /// How the answer may be compressed; `None`: not at all.
    pub fn wanted(&self) -> Option<&Wanted> {
        self.wanted.as_ref()
    }

    pub(super) fn ask(&mut self, question: Question) {
        self.question = Some(Box::new(question));
    }

    /// What is to be asked before the request goes on; once.
    pub fn take_question(&mut self) -> Option<Question> {
        self.question.take().map(|question| *question)
    }

    /// Keeps what was answered for the client. Why the request does not go on; `None`: it does.
    pub fn learn(&mut self, verdict: Verdict) -> Option<Reason> {
        self.told.extend(verdict.told);
        verdict.refused
    }

    pub(super) fn mirror(&mut self) {
        self.mirrored = true;
    }

    /// Whether a copy of the request goes to the route's mirror.
    pub fn is_mirrored(&self) -> bool {
        self.mirrored
    }

    /// Whether the request waits before it goes on: for its time, or for what the fleet says.
    pub fn is_held(&self) -> bool {
        self.delay.is_some() || self.question.is_some()
    }

    /// How long the request waits before it goes on; `None`: not at all.
    pub fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// The largest body that it may have, in bytes, where the gateway allows `most`.
    pub fn max_body(&self, most: Option<u64>) -> Option<u64> {
        [self.max_body, most].into_iter().flatten().min()
    }

    /// The status of an answer of the gateway's own, where it is not its reason's.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Brings the head of the response, the backend's or the gateway's own, into the form that the client gets.
    pub fn edit_response(&self, head: &mut impl Fields) {
        if self.of_cors {
            OF_CORS.iter().for_each(|name| head.take_away(name));
        }
        self.told.iter().for_each(|(name, value)| head.put(name, value));
    }
}

impl Fields for Head {
    fn take_away(&mut self, name: &HeaderName) {
        self.remove_named(name.as_str().as_bytes());
    }

    fn put(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.push(name.as_str(), value.as_bytes());
    }

    fn each(&self, name: &HeaderName, visit: &mut dyn FnMut(&[u8])) {
        self.named(name.as_str()).for_each(visit);
    }
}

impl Fields for HeaderMap {
    fn take_away(&mut self, name: &HeaderName) {
        self.remove(name);
    }

    fn put(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.append(name.clone(), value.clone());
    }

    fn each(&self, name: &HeaderName, visit: &mut dyn FnMut(&[u8])) {
        self.get_all(name).iter().for_each(|value| visit(value.as_bytes()));
    }
}
