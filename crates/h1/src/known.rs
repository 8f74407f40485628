//! Names of headers that the gateway itself looks at.

macro_rules! known {
    ($( $variant:ident = $name:literal; )*) => {
        /// A name that the gateway looks at.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Known {
            $(
                #[doc = $name]
                $variant,
            )*
            /// Any other.
            Other,
        }

        impl Known {
            /// The name, in lower case; empty for [`Known::Other`].
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $name, )*
                    Self::Other => "",
                }
            }
        }

        #[cfg(test)]
        const ALL: &[Known] = &[$( Known::$variant, )*];
    };
}

known! {
    Te = "te";
    Via = "via";
    Date = "date";
    Host = "host";
    Expect = "expect";
    Trailer = "trailer";
    Upgrade = "upgrade";
    Connection = "connection";
    KeepAlive = "keep-alive";
    ContentLength = "content-length";
    ForwardedFor = "x-forwarded-for";
    ForwardedHost = "x-forwarded-host";
    ProxyConnection = "proxy-connection";
    ForwardedProto = "x-forwarded-proto";
    TransferEncoding = "transfer-encoding";
    ClientCert = "client-cert";
    ClientCertChain = "client-cert-chain";
    ForwardedClientCert = "x-forwarded-client-cert";
}

impl Known {
    /// What a name in lower case is.
    pub fn of(name: &[u8]) -> Self {
        // The length decides first: most names of a request have none of these.
        let candidates: &[Self] = match name.len() {
            2 => &[Self::Te],
            3 => &[Self::Via],
            4 => &[Self::Host, Self::Date],
            6 => &[Self::Expect],
            7 => &[Self::Upgrade, Self::Trailer],
            10 => &[Self::Connection, Self::KeepAlive],
            11 => &[Self::ClientCert],
            14 => &[Self::ContentLength],
            15 => &[Self::ForwardedFor],
            16 => &[Self::ForwardedHost, Self::ProxyConnection],
            17 => &[Self::TransferEncoding, Self::ForwardedProto, Self::ClientCertChain],
            23 => &[Self::ForwardedClientCert],
            _ => &[],
        };
        candidates.iter().copied().find(|k| k.name().as_bytes() == name).unwrap_or(Self::Other)
    }

    /// Its place in a set.
    pub(super) const fn bit(self) -> u32 {
        match self {
            Self::Other => 0,
            known => 1 << known as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_known_by_itself_alone() {
        for known in ALL {
            assert_eq!(Known::of(known.name().as_bytes()), *known);
            assert_eq!(ALL.iter().filter(|k| k.bit() == known.bit()).count(), 1);
            let other = known.name().replace(|c: char| c.is_ascii_alphabetic(), "x");
            assert_eq!(Known::of(other.as_bytes()), Known::Other);
        }
    }
}
