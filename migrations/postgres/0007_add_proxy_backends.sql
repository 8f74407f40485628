-- What each proxy says of the backends that it does not send to freely, as JSON. Owner: the route service.

ALTER TABLE gateway_proxies ADD COLUMN backends TEXT COLLATE "C" NOT NULL DEFAULT '{"total":0,"listed":[]}';
