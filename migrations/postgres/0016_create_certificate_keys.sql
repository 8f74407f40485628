-- Private keys of certificates, sealed. Owner: the route service.

CREATE TABLE gateway_certificate_keys (
    name     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- The revision that brought the key. It is part of what the text is sealed to, as are the name and the uid.
    revision BIGINT NOT NULL,
    sealed   TEXT COLLATE "C" NOT NULL
);
