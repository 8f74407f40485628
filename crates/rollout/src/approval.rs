//! Approvals: who must say yes before anything begins.

use std::fmt;

use hotswap_core::{Timestamp, Violations};
use serde::{Deserialize, Serialize};

use crate::Millis;

/// How long is waited for approvals, and how long before that those who are asked are reminded.
pub const APPROVAL_EXPIRY: Millis = Millis::hours(72);
/// How long before the expiry those who are asked are reminded.
pub const APPROVAL_REMINDER: Millis = Millis::hours(24);

/// The name of somebody or something that calls: the subject of its token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Principal(pub String);

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who does something, with the roles that they have at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actor {
    /// Who.
    pub principal: Principal,
    /// Their roles, as "operator".
    pub roles: Vec<String>,
}

/// The hash of what is approved: an edit makes another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContentHash(pub String);

/// What is to be rolled out, as it stands now, and everybody who had a hand in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Content {
    /// Its hash.
    pub hash: ContentHash,
    /// Who wrote it, and who asked for the rollout; none of them may approve it.
    pub authors: Vec<Principal>,
}

/// Who may approve at a level.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approvers {
    /// These.
    Principals(Vec<Principal>),
    /// Anybody with this role.
    Role(String),
}

impl Approvers {
    fn admit(&self, actor: &Actor) -> bool {
        match self {
            Self::Principals(some) => some.contains(&actor.principal),
            Self::Role(role) => actor.roles.contains(role),
        }
    }
}

impl fmt::Display for Approvers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principals(some) => {
                let names: Vec<_> = some.iter().map(|p| p.0.as_str()).collect();
                f.write_str(&names.join(", "))
            }
            Self::Role(role) => write!(f, "role {role}"),
        }
    }
}

/// A level of approval: so many of some people.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Level {
    /// Who may.
    pub approvers: Approvers,
    /// How many of them must; at least 1.
    pub quorum: u32,
}

/// Checks the levels that are asked for: at most 3, each possible to fill.
pub(crate) fn check_levels(levels: &[Level]) -> Result<(), Violations> {
    let mut v = Violations::new();
    if levels.len() > 3 {
        v.add("", "must have at most 3 levels");
    }
    for (i, level) in levels.iter().enumerate() {
        if level.quorum == 0 || level.quorum > 100 {
            v.add(format!("[{i}].quorum"), "must be 1 to 100");
        }
        match &level.approvers {
            Approvers::Role(role) if role.is_empty() => v.add(format!("[{i}].role"), "must not be empty"),
            Approvers::Role(_) => {}
            Approvers::Principals(some) => {
                let mut known = some.clone();
                known.sort();
                known.dedup();
                if known.len() < some.len() || some.iter().any(|p| p.0.is_empty()) {
                    v.add(format!("[{i}].principals"), "must have no empty and no repeated entry");
                } else if u32::try_from(known.len()).unwrap_or(u32::MAX) < level.quorum {
                    v.add(format!("[{i}].quorum"), format!("must be at most {}, those who may", some.len()));
                }
            }
        }
    }
    v.into_result()
}

/// Waiting for approvals.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Approvals {
    /// What is approved.
    pub(crate) content: Content,
    /// The level that is asked now.
    pub(crate) level: usize,
    /// Who said yes, at which level. Nobody stands here twice.
    pub(crate) given: Vec<(usize, Principal)>,
    /// Since when is asked for this content.
    pub(crate) asked_at: Timestamp,
    /// Whether a reminder was sent.
    pub(crate) reminded: bool,
}

/// Why an approval or a rejection does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCounted {
    /// It is their own change.
    #[error("nobody approves their own change: {0} had a hand in it")]
    OwnChange(Principal),
    /// They are not asked.
    #[error("{principal} may not decide at level {level}: {asked} may")]
    NotAsked {
        /// Who.
        principal: Principal,
        /// The level that is asked now, from 1.
        level: usize,
        /// Who may.
        asked: String,
    },
    /// They said yes before.
    #[error("{0} approved it already; one person counts once")]
    Twice(Principal),
    /// What they saw is not what is there.
    #[error("the content was changed after it was looked at; look again and approve what is there now")]
    OtherContent,
}

/// What an approval led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// More are needed.
    More,
    /// The next level is asked.
    NextLevel,
    /// That was the last one.
    Complete,
}

impl Approvals {
    /// Asks for approval of this content from the first level on.
    pub(crate) fn ask(content: Content, now: Timestamp) -> Self {
        Self { content, level: 0, given: Vec::new(), asked_at: now, reminded: false }
    }

    /// What is approved.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The level that is asked now, from 0.
    pub fn level(&self) -> usize {
        self.level
    }

    /// Who said yes, at which level.
    pub fn given(&self) -> &[(usize, Principal)] {
        &self.given
    }

    /// When the wait ends.
    pub fn expires_at(&self) -> Timestamp {
        APPROVAL_EXPIRY.after(self.asked_at)
    }

    /// When those who are asked are reminded.
    pub fn remind_at(&self) -> Timestamp {
        Millis(APPROVAL_EXPIRY.0 - APPROVAL_REMINDER.0).after(self.asked_at)
    }

    /// Whether a yes of this one would count now.
    pub fn asks(&self, levels: &[Level], actor: &Actor) -> bool {
        self.may_decide(levels, actor).is_ok()
            && !self.content.authors.contains(&actor.principal)
            && !self.given.iter().any(|(_, given)| *given == actor.principal)
    }

    /// Whether this one may decide at the level that is asked now. The authors may reject: it is their change.
    pub(crate) fn may_decide(&self, levels: &[Level], actor: &Actor) -> Result<(), NotCounted> {
        let asked = levels.get(self.level);
        if asked.is_some_and(|level| level.approvers.admit(actor)) {
            return Ok(());
        }
        let asked = asked.map(|level| level.approvers.to_string()).unwrap_or_default();
        Err(NotCounted::NotAsked { principal: actor.principal.clone(), level: self.level + 1, asked })
    }

    /// Counts a yes to the content with this hash.
    pub(crate) fn approve(
        &mut self,
        levels: &[Level],
        actor: &Actor,
        seen: &ContentHash,
    ) -> Result<Counted, NotCounted> {
        let principal = &actor.principal;
        if *seen != self.content.hash {
            return Err(NotCounted::OtherContent);
        }
        if self.content.authors.contains(principal) {
            return Err(NotCounted::OwnChange(principal.clone()));
        }
        if self.given.iter().any(|(_, given)| given == principal) {
            return Err(NotCounted::Twice(principal.clone()));
        }
        self.may_decide(levels, actor)?;
        self.given.push((self.level, principal.clone()));
        let here = self.given.iter().filter(|(level, _)| *level == self.level).count();
        let quorum = levels.get(self.level).map_or(1, |level| level.quorum);
        if u32::try_from(here).unwrap_or(u32::MAX) < quorum {
            return Ok(Counted::More);
        }
        self.level += 1;
        Ok(if self.level < levels.len() { Counted::NextLevel } else { Counted::Complete })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(name: &str, roles: &[&str]) -> Actor {
        let roles = roles.iter().map(|r| (*r).to_owned()).collect();
        Actor { principal: Principal(name.into()), roles }
    }

    fn hash(text: &str) -> ContentHash {
        ContentHash(text.into())
    }

    fn asked() -> Approvals {
        let content = Content { hash: hash("h1"), authors: vec![Principal("ann".into())] };
        Approvals::ask(content, Timestamp(0))
    }

    fn levels() -> Vec<Level> {
        let both = vec![Principal("bob".into()), Principal("eve".into()), Principal("ann".into())];
        vec![
            Level { approvers: Approvers::Role("operator".into()), quorum: 1 },
            Level { approvers: Approvers::Principals(both), quorum: 2 },
        ]
    }

    #[test]
    fn levels_are_asked_one_after_another_until_each_quorum() {
        let (levels, mut asked) = (levels(), asked());
        let mut yes = |name: &str, roles: &[&str]| asked.approve(&levels, &actor(name, roles), &hash("h1"));
        assert!(matches!(yes("bob", &[]), Err(NotCounted::NotAsked { level: 1, .. })));
        assert_eq!(yes("dan", &["operator"]), Ok(Counted::NextLevel));
        assert_eq!(yes("bob", &[]), Ok(Counted::More));
        assert_eq!(yes("bob", &[]), Err(NotCounted::Twice(Principal("bob".into()))));
        assert_eq!(yes("eve", &[]), Ok(Counted::Complete));
    }

    #[test]
    fn nobody_approves_their_own_change() {
        let own = asked().approve(&levels(), &actor("ann", &["operator"]), &hash("h1"));
        assert_eq!(own, Err(NotCounted::OwnChange(Principal("ann".into()))));
    }

    #[test]
    fn one_person_does_not_count_at_two_levels() {
        let (levels, mut asked) = (levels(), asked());
        let bob = actor("bob", &["operator"]);
        assert_eq!(asked.approve(&levels, &bob, &hash("h1")), Ok(Counted::NextLevel));
        assert_eq!(
            asked.approve(&levels, &bob, &hash("h1")),
            Err(NotCounted::Twice(Principal("bob".into())))
        );
    }

    #[test]
    fn an_approval_of_other_content_does_not_count() {
        let other = asked().approve(&levels(), &actor("dan", &["operator"]), &hash("h0"));
        assert_eq!(other, Err(NotCounted::OtherContent));
    }

    #[test]
    fn levels_that_nobody_can_fill_are_refused() {
        let one = |approvers, quorum| Level { approvers, quorum };
        let bob = || Principal("bob".into());
        let levels = [
            one(Approvers::Principals(vec![bob()]), 2),
            one(Approvers::Principals(vec![bob(), bob()]), 1),
            one(Approvers::Role(String::new()), 0),
            one(Approvers::Role("admin".into()), 1),
        ];
        let faults = check_levels(&levels).expect_err("faults");
        let fields: Vec<_> = faults.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["", "[0].quorum", "[1].principals", "[2].quorum", "[2].role"]);
    }

    #[test]
    fn the_reminder_comes_a_day_before_the_end() {
        let asked = asked();
        assert_eq!(asked.remind_at(), Timestamp(48 * 3_600 * 1_000_000));
        assert_eq!(asked.expires_at(), Timestamp(72 * 3_600 * 1_000_000));
    }
}
