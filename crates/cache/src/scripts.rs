//! What is done in Redis, each in one step for everybody else.
//!
//! | key | holds |
//! |---|---|
//! | of a scope | a hash: `s`, the revision up to which the values are right; `n`, which life they are of |
//! | of a name | 19 digits: the revision that the value is as of; 16 digits: its life; one letter; the value |
//!
//! The letter is `v` for a value, `n` for "there is none by that name", `t` for the mark that a change leaves: what
//! is older is out of date. Revisions are written with 19 digits, so that they compare as text. A value of another
//! life than its scope's counts as absent; a new life is how a scope loses all its values at once.
//!
//! At any moment each value of the scope's life is as of `s` or later, or was not changed between.

use std::sync::LazyLock;

use redis::Script;

/// `KEYS`: scope, name. Gives what a value is as of, `s`, what is left of its time in ms, its letter, itself.
pub(crate) static GET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local scope = redis.call('HMGET', KEYS[1], 's', 'n')
local value = redis.call('GET', KEYS[2])
if not scope[1] or not value or string.sub(value, 20, 35) ~= scope[2] then return false end
local letter = string.sub(value, 36, 36)
if letter == 't' then return false end
return {string.sub(value, 1, 19), scope[1], redis.call('PTTL', KEYS[2]), letter, string.sub(value, 37)}
",
    )
});

/// `KEYS`: scope, name. `ARGV`: as of, letter, value, its time in ms, the scope's. Gives 1 where it was stored.
pub(crate) static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local scope = redis.call('HMGET', KEYS[1], 's', 'n')
if not scope[1] then
  local time = redis.call('TIME')
  scope = {ARGV[1], string.format('%s%06d', time[1], time[2])}
  redis.call('HSET', KEYS[1], 's', scope[1], 'n', scope[2])
end
if ARGV[1] < scope[1] then return 0 end
local head = redis.call('GETRANGE', KEYS[2], 0, 34)
if string.sub(head, 20) == scope[2] and string.sub(head, 1, 19) > ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[1] .. scope[2] .. ARGV[2] .. ARGV[3], 'PX', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
",
    )
});

/// `KEYS`: scope, the names that changed behind one revision up to another. `ARGV`: those two, the time of a mark in
/// ms, the scope's, `1` where these are all the names, a channel and a message for it, which may be empty.
pub(crate) static CHANGED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local scope = redis.call('HMGET', KEYS[1], 's', 'n')
if scope[1] then
  for i = 2, #KEYS do
    local head = redis.call('GETRANGE', KEYS[i], 0, 34)
    if string.sub(head, 20) ~= scope[2] or string.sub(head, 1, 19) < ARGV[2] then
      redis.call('SET', KEYS[i], ARGV[2] .. scope[2] .. 't', 'PX', ARGV[3])
    end
  end
  if ARGV[5] == '1' and scope[1] >= ARGV[1] and scope[1] < ARGV[2] then
    redis.call('HSET', KEYS[1], 's', ARGV[2])
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
if ARGV[7] ~= '' then redis.call('PUBLISH', ARGV[6], ARGV[7]) end
return 0
",
    )
});

/// `KEYS`: scope. `ARGV`: a revision, `1` where the scope starts anew even if it is past that, its time in ms, a
/// channel and a message for it, which may be empty.
pub(crate) static START_ANEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local s = redis.call('HGET', KEYS[1], 's')
if not s or s < ARGV[1] or ARGV[2] == '1' then
  local time = redis.call('TIME')
  redis.call('HSET', KEYS[1], 's', ARGV[1], 'n', string.format('%s%06d', time[1], time[2]))
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
if ARGV[5] ~= '' then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return 0
",
    )
});

/// `KEYS`: scope. `ARGV`: a channel and a message for it. The values are of a life that never comes back.
pub(crate) static FORGET: LazyLock<Script> = LazyLock::new(|| {
    Script::new("redis.call('DEL', KEYS[1]) redis.call('PUBLISH', ARGV[1], ARGV[2]) return 0")
});
