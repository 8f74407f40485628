//! Roles.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a principal is trusted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Runs the platform: routes, pools, certificates, rollouts; deletes nothing.
    Operator,
    /// Writes policies and plugins; reads the rest.
    Developer,
    /// Writes tenant configuration; reads the rest.
    ConfigManager,
    /// Reads.
    Viewer,
    /// The identity of a data-plane proxy: watches the gateway configuration, nothing else.
    Gateway,
    /// The identity of a plugin host.
    PluginHost,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 7] = [
        Self::Admin,
        Self::Operator,
        Self::Developer,
        Self::ConfigManager,
        Self::Viewer,
        Self::Gateway,
        Self::PluginHost,
    ];

    /// What its bearer is trusted with, for people.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Admin => "everything",
            Self::Operator => "runs the platform: routes, pools, certificates, rollouts; deletes nothing",
            Self::Developer => "writes policies and plugins; reads the rest",
            Self::ConfigManager => "writes tenant configuration; reads the rest",
            Self::Viewer => "reads",
            Self::Gateway => "a data-plane proxy: watches the gateway configuration, nothing else",
            Self::PluginHost => "a plugin host: nothing yet",
        }
    }

    /// The name in tokens and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Developer => "developer",
            Self::ConfigManager => "config_manager",
            Self::Viewer => "viewer",
            Self::Gateway => "gateway",
            Self::PluginHost => "plugin_host",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown role \"{0}\"; use admin, operator, developer, config_manager, viewer, gateway or plugin_host"
)]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|r| r.as_str() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}
