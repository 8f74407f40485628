//! What a decision leaves behind, in one transaction: all of it is there, or nothing.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use hotswap_audit::{Caller, Chain, Entry, Outcome};
use hotswap_core::{Reason, Revision, Timestamp};
use hotswap_rollout::judge::{Evidence, Finding, Verdict};
use hotswap_rollout::{Answered, Effects, Event, Facts, Record, State, Stored};
use hotswap_store::{Row, StoreError, Tx};
use serde_json::json;

use super::claims::{Claim, SqlStore};
use super::{Log, key, number, row, sql};
use crate::StepTimes;
use crate::schedule::{Looked, wake_at};

/// A decision to be stored.
struct Turn<'a> {
    claim: &'a Claim,
    record: &'a Record,
    facts: &'a Facts,
    effects: &'a Effects,
    now: Timestamp,
}

/// What stood there before, beside the record.
struct Before {
    record: Record,
    last_event: i64,
    step: usize,
    step_times: Vec<StepTimes>,
    verdict: Option<(Verdict, String)>,
    looked: Looked,
    ended_at: Option<i64>,
}

impl SqlStore {
    pub(super) async fn save_turn(
        &self,
        claim: &Claim,
        read: u64,
        record: &Record,
        facts: &Facts,
        effects: &Effects,
    ) -> Result<(), StoreError> {
        let mut tx = self.db.write_unscoped().await?;
        let now = tx.now().await?;
        let held = [key(claim.id), claim.fence.into(), number(read).into()];
        let fenced = || StoreError::Fenced { lease: claim.id.to_string() };
        // It locks the rollout: a command that comes now waits, and finds it saved.
        let sql = if self.db.is_shared() { sql::BEFORE_LOCKED } else { sql::BEFORE };
        let before = tx.fetch_opt(sql, &held).await?.ok_or_else(fenced)?;
        let mut before = before_of(&before, claim)?;
        let turn = Turn { claim, record, facts, effects, now };
        let log = Log { rollout: &claim.rollout, notices: &*self.notices, at: now };
        let last_event = log.append(&mut tx, before.last_event, &effects.events).await?;
        turn.follow(&mut before);
        turn.write(&mut tx, read, &before, last_event).await?;
        turn.write_answers(&mut tx).await?;
        turn.write_measurement(&mut tx, &before.record.state).await?;
        self.tell_audit(&mut tx, &turn, &before.record.state).await?;
        if !effects.events.is_empty() || !effects.answers.is_empty() {
            tx.announce();
        }
        self.faults.at("save: before the commit").await;
        tx.commit().await?;
        claim.returned.store(effects.request.is_none(), Ordering::Relaxed);
        claim.answered.store(record.answered, Ordering::Relaxed);
        self.faults.at("save: after the commit").await;
        Ok(())
    }

    /// Transitions, and commands that were refused. It locks the log's chain, so it comes last.
    async fn tell_audit(&self, tx: &mut Tx, turn: &Turn<'_>, before: &State) -> Result<(), StoreError> {
        let name = turn.claim.id.to_string();
        let senders = turn.claim.senders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sender = |seq: i64| senders.iter().find(|(of, _)| *of == seq).map(|(_, caller)| caller.clone());
        let told: Vec<_> = turn.effects.events.iter().filter(|e| is_transition(e)).collect();
        for (i, event) in told.iter().enumerate() {
            let by = author(event).and_then(|by| senders.iter().find(|(_, c)| c.actor == by));
            let caller = by.map_or_else(itself, |(_, caller)| caller.clone());
            let last = i + 1 == told.len();
            let was = if last { standing(before) } else { json!({}) };
            let mut is = if last { standing(&turn.record.state) } else { json!({}) };
            is["event"] = event.to_string().into();
            let diff = self.audit.diff(Some(&was), Some(&is));
            let entry = Entry::done(caller, name.as_str(), Revision::ZERO, diff);
            self.audit.record(tx, &Chain::Platform, entry).await?;
        }
        for answer in &turn.effects.answers {
            if let Answered::Refused(_) = answer.result {
                let caller = sender(answer.seq).unwrap_or_else(itself);
                let entry = Entry::refused(caller, name.as_str(), Outcome::Failed, Reason::CommandRefused);
                self.audit.record(tx, &Chain::Platform, entry).await?;
            }
        }
        Ok(())
    }
}

/// The program itself.
fn itself() -> Caller {
    Caller { actor: Caller::ITSELF.into(), ..Caller::default() }
}

/// Where it stands, for the audit log.
fn standing(state: &State) -> serde_json::Value {
    json!({ "state": state.word(), "exposure": state.reach().to_string() })
}

/// Who did it, where a person did.
fn author(event: &Event) -> Option<&str> {
    match event {
        Event::Approved { by, .. }
        | Event::Promoted { by, .. }
        | Event::Paused { by: Some(by), .. }
        | Event::Resumed { by } => Some(&by.0),
        _ => None,
    }
}

fn evidence(state: &State) -> Option<&Evidence> {
    match state {
        State::Running(running) => running.evidence.as_ref(),
        State::Waiting(_) | State::Undoing(_) | State::Frozen(_) | State::Ended(_) => None,
    }
}

/// Another attempt and another look are no transitions.
fn is_transition(event: &Event) -> bool {
    !matches!(event, Event::Retried { .. } | Event::ApprovalReminded)
}

fn before_of(row: &Row, claim: &Claim) -> Result<Before, StoreError> {
    let name = claim.id.to_string();
    Ok(Before {
        record: row::record(row, &name)?,
        last_event: row.int("last_event")?,
        step: row::step(row, &name)?,
        step_times: row::from_json(row, row::ROLLOUTS, "step_times", &name)?,
        verdict: row::verdict(row, &name)?,
        looked: Looked {
            measured_at: row.opt_int("measured_at")?.map(Timestamp),
            compared_at: row.opt_int("compared_at")?.map(Timestamp),
            frozen: false,
        },
        ended_at: row.opt_int("ended_at")?,
    })
}

impl Turn<'_> {
    /// Brings up to date what stands beside the record.
    fn follow(&self, before: &mut Before) {
        for event in &self.effects.events {
            let (Event::StepBegan { step, .. } | Event::StepDone { step }) = event else { continue };
            if before.step_times.len() <= *step {
                before.step_times.resize(*step + 1, StepTimes::default());
            }
            let Some(times) = before.step_times.get_mut(*step) else { continue };
            match event {
                Event::StepBegan { .. } => times.began = Some(self.now),
                _ => times.ended = Some(self.now),
            }
        }
        if let State::Running(running) = &self.record.state {
            before.step = running.step;
        }
        // Where nothing can be compared, what was found before it stays the verdict.
        let alone = evidence(&self.record.state).is_some_and(Evidence::is_alone);
        if let (Some(Finding { verdict, words, .. }), false) = (&self.effects.finding, alone) {
            before.verdict = Some((*verdict, words.clone()));
        }
        if let Some(measurement) = &self.facts.measurement {
            before.looked.measured_at = Some(measurement.at);
        }
        let compared_at = before.looked.compared_at.get_or_insert(self.now);
        if self.claim.compared.load(Ordering::Relaxed) {
            *compared_at = self.now;
        }
        before.looked.frozen = self.facts.frozen;
        if self.record.state.is_ended() {
            before.ended_at.get_or_insert(self.now.0);
        }
    }

    async fn write(
        &self,
        tx: &mut Tx,
        read: u64,
        before: &Before,
        last_event: i64,
    ) -> Result<(), StoreError> {
        let claim = self.claim;
        let wake_at = wake_at(self.record, self.effects, before.looked, self.now);
        // With something to be done the lease goes on, from now.
        let busy = self.effects.request.is_some();
        let lease_until = if busy { claim.lease.after(self.now) } else { Timestamp(0) };
        let (verdict, words) = before.verdict.clone().map_or((None, None), |(v, w)| (Some(v), Some(w)));
        let step = i64::try_from(before.step).unwrap_or(i64::MAX);
        let moved = !self.effects.events.is_empty();
        let values = [
            key(claim.id),
            claim.fence.into(),
            number(read).into(),
            row::to_json(&Stored::from(self.record.clone()), row::ROLLOUTS, "record")?.into(),
            self.record.state.word().into(),
            number(self.record.generation).into(),
            step.into(),
            row::to_json(&before.step_times, row::ROLLOUTS, "step_times")?.into(),
            verdict.map(|v| row::word(&v)).into(),
            words.into(),
            last_event.into(),
            lease_until.into(),
            claim.calls.load(Ordering::Relaxed).into(),
            wake_at.map(|t| t.0).into(),
            before.looked.measured_at.map(|t| t.0).into(),
            self.now.into(),
            before.looked.compared_at.map(|t| t.0).into(),
            i64::from(moved).into(),
            before.ended_at.into(),
        ];
        match tx.execute(sql::SAVE, &values).await? {
            1 => Ok(()),
            _ => Err(StoreError::Fenced { lease: claim.id.to_string() }),
        }
    }

    async fn write_answers(&self, tx: &mut Tx) -> Result<(), StoreError> {
        for answer in &self.effects.answers {
            let text = row::to_json(&answer.result, row::COMMANDS, "answer")?;
            let values = [key(self.claim.id), answer.seq.into(), self.now.into(), text.into()];
            tx.execute(sql::ANSWER, &values).await?;
        }
        Ok(())
    }

    /// What was judged, with what was found: enough to judge it again.
    async fn write_measurement(&self, tx: &mut Tx, before: &State) -> Result<(), StoreError> {
        let (Some(measurement), Some(finding)) = (&self.facts.measurement, &self.effects.finding) else {
            return Ok(());
        };
        let watch = crate::schedule::watch(before);
        let since = watch.map_or(measurement.at, |watch| watch.since);
        let slow = watch.and_then(|watch| watch.slow_over_us).map(number);
        let values = [
            key(self.claim.id),
            measurement.at.into(),
            since.into(),
            i64::from(measurement.epoch).into(),
            slow.into(),
            row::to_json(measurement, row::MEASUREMENTS, "measurement")?.into(),
            row::to_json(&row::finite(finding.clone()), row::MEASUREMENTS, "finding")?.into(),
        ];
        tx.execute(sql::PUT_MEASUREMENT, &values).await?;
        Ok(())
    }
}
