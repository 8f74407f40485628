//! Rates, as options have them: "100/s", "600/m", "10/h:50".

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hotswap_auth::TABLE;

/// The highest count.
const MOST: u32 = 1_000_000;

/// So many calls in a time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    per: Per,
    burst: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
    Hour,
}

impl Rate {
    /// So many a second, and as many at once.
    pub const fn per_second(count: u32) -> Self {
        Self { count, per: Per::Second, burst: count }
    }

    /// How many calls may come at once, after a pause.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// After how long a call that was taken is there again.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.per.seconds()) / self.count.max(1)
    }

    /// How many calls a process takes out of a shared bucket at a time: what comes in 50 ms, and at most a tenth of what
    /// the bucket holds, so that little lies idle elsewhere.
    pub(crate) fn portion(&self) -> u32 {
        let in_50_ms = u64::from(self.count) / self.per.seconds() / 20;
        u32::try_from(in_50_ms).unwrap_or(u32::MAX).min(self.burst / 10).max(1)
    }
}

impl Per {
    fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            Per::Second => 's',
            Per::Minute => 'm',
            Per::Hour => 'h',
        };
        write!(f, "{}/{per}", self.count)?;
        if self.burst == self.count { Ok(()) } else { write!(f, ":{}", self.burst) }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("\"{text}\" is no rate: 100/s, 600/m or 10/h, with :BURST behind it for how many at once")
        };
        let (rate, burst) = text.split_once(':').map_or((text, None), |(rate, burst)| (rate, Some(burst)));
        let (count, per) = rate.split_once('/').ok_or_else(wrong)?;
        let number = |text: &str| match text.parse::<u32>() {
            Ok(number @ 1..=MOST) => Ok(number),
            _ => Err(format!("{}; numbers are 1 to {MOST}", wrong())),
        };
        let per = match per {
            "s" => Per::Second,
            "m" => Per::Minute,
            "h" => Per::Hour,
            _ => return Err(wrong()),
        };
        let count = number(count)?;
        Ok(Self { count, per, burst: burst.map_or(Ok(count), number)? })
    }
}

/// A rate of one method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodRate {
    /// Its path, as in the permission table.
    pub path: &'static str,
    /// How often a principal may call it.
    pub rate: Rate,
}

impl FromStr for MethodRate {
    type Err = String;

    /// "hotswap.route.v1.RouteService/CreateRoute=10/s", or without the package.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rate) =
            text.split_once('=').ok_or("must be METHOD=RATE, as RouteService/CreateRoute=10/s")?;
        let is_it = |path: &str| {
            let path = path.trim_start_matches('/');
            path == name || path.strip_suffix(name).is_some_and(|package| package.ends_with('.'))
        };
        let mut found = TABLE.iter().filter(|row| name.contains('/') && is_it(row.path));
        match (found.next(), found.next()) {
            (Some(row), None) => Ok(Self { path: row.path, rate: rate.parse()? }),
            (Some(_), Some(_)) => Err(format!("there are several methods {name}: give the package too")),
            (None, _) => {
                Err(format!("there is no method {name}; methods are named as RouteService/CreateRoute"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().expect(text)
    }

    #[test]
    fn a_rate_is_read_and_shown_the_same_way() {
        for text in ["100/s", "600/m", "10/h:50", "1/s:1000000"] {
            assert_eq!(rate(text).to_string(), text);
        }
        assert_eq!(rate("5/s:5").to_string(), "5/s");
        for wrong in ["", "100", "0/s", "100/d", "1/s:0", "1/s:", "-1/s", "2000000/s", "1.5/s"] {
            let refused = wrong.parse::<Rate>().expect_err(wrong);
            assert!(refused.contains("100/s"), "{refused}");
        }
    }

    #[test]
    fn intervals_and_portions_follow_from_it() {
        assert_eq!(rate("100/s").interval(), Duration::from_millis(10));
        assert_eq!(rate("60/h").interval(), Duration::from_secs(60));
        assert_eq!(rate("10000/s").portion(), 500);
        assert_eq!(rate("10000/s:100").portion(), 10, "others are to find something, too");
        assert_eq!(rate("5/m").portion(), 1);
    }

    #[test]
    fn a_method_is_named_with_its_package_or_without() {
        let path = "/hotswap.route.v1.RouteService/CreateRoute";
        for name in ["hotswap.route.v1.RouteService/CreateRoute", "RouteService/CreateRoute"] {
            let method: MethodRate = format!("{name}=10/s").parse().expect(name);
            assert_eq!(method, MethodRate { path, rate: rate("10/s") });
        }
        let several = "ServerReflection/ServerReflectionInfo=1/s".parse::<MethodRate>().expect_err("two");
        assert!(several.contains("the package too"), "{several}");
        for wrong in
            ["CreateRoute=1/s", "Service/CreateRoute=1/s", "RouteService/CreateRoute", "=1/s", "/=1/s"]
        {
            assert!(wrong.parse::<MethodRate>().is_err(), "{wrong}");
        }
    }
}
