//! What is done in Redis, in one step for everybody else.

use std::sync::LazyLock;

use redis::Script;

/// `KEYS`: a bucket. `ARGV`: its interval in µs, how much it holds, how much is wanted. Gives how much was taken, and in
/// how many µs the bucket is full again, or, where that is nothing, in how many there is one.
///
/// The value is the moment at which the bucket will be full, in µs. One that lies further ahead than an empty bucket's
/// can, as after the clock was set back, counts as an empty bucket's.
pub(super) static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, holds, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = tonumber(redis.call('GET', KEYS[1]) or '0')
full = math.min(math.max(full, now), now + interval * holds)
local there = math.floor(holds - (full - now) / interval + 1e-6)
if there < 1 then
  return {0, math.ceil(full + interval - now - interval * holds)}
end
local taken = math.min(there, want)
full = full + taken * interval
redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil((full - now) / 1000) + 1)
return {taken, math.ceil(full - now)}
",
    )
});
