//! Certificates, call by call.

use std::borrow::Cow;

use hotswap_api::route::v1::{
    Certificate, CertificateRevision, CreateCertificateRequest, DeleteCertificateRequest,
    DiffCertificateRevisionsRequest, DiffCertificateRevisionsResponse, GetCertificateRequest,
    ListCertificateRevisionsRequest, ListCertificatesRequest, UpdateCertificateRequest,
};
use hotswap_core::Violations;
use hotswap_rpc::WireError;
use prost_types::Timestamp;
use tonic::Status;

use super::kinds::{all_fields, hollow};
use super::{Compared, Delete, Page, Query, Resource, RevisionOf, Write};
use crate::client::Api;
use crate::columns;
use crate::exit::Failure;
use crate::output::Show;
use crate::proto_json::Document;
use crate::style::Cell;

/// There is nothing to roll out of a certificate.
fn no_draft(write: &Write<Certificate>) -> Result<(), Status> {
    let why = "a certificate is live at once: there are no drafts of it";
    if write.draft { Err(WireError::invalid(Violations::one("landing", why)).into()) } else { Ok(()) }
}

impl Resource for Certificate {
    const KIND: &'static str = "Certificate";
    const COLLECTION: &'static str = "certificates";
    const MESSAGE: &'static str = "hotswap.route.v1.Certificate";
    type Revision = CertificateRevision;

    fn name(&self) -> &str {
        &self.name
    }

    fn revision(&self) -> i64 {
        self.revision
    }

    fn etag(&self) -> &str {
        &self.etag
    }

    fn set_etag(&mut self, etag: String) {
        self.etag = etag;
    }

    fn is_draft(&self) -> bool {
        false
    }

    fn pools(&self) -> impl Iterator<Item = (Cow<'static, str>, &str)> {
        std::iter::empty()
    }

    fn content(&self) -> Self {
        // No answer has the key; what a file has of it is nothing to be compared, or shown.
        Self {
            name: self.name.clone(),
            display_name: self.display_name.clone(),
            labels: self.labels.clone(),
            chain_pem: self.chain_pem.clone(),
            ..Self::default()
        }
    }

    async fn get(api: &Api, name: String) -> Result<Self, Status> {
        let answer = api.routes.clone().get_certificate(GetCertificateRequest { name }).await?;
        answer.into_inner().certificate.ok_or_else(hollow)
    }

    async fn list(api: &Api, query: Query) -> Result<(Vec<Self>, String), Status> {
        let Query { filter, order_by, page_size, page_token } = query;
        let request = ListCertificatesRequest { page_size, page_token, filter, order_by };
        let page = api.routes.clone().list_certificates(request).await?.into_inner();
        Ok((page.certificates, page.next_page_token))
    }

    async fn create(api: &Api, write: Write<Self>) -> Result<Self, Status> {
        let id = write.resource.name.strip_prefix("certificates/").unwrap_or_default().to_owned();
        no_draft(&write)?;
        let request = CreateCertificateRequest {
            certificate_id: id,
            certificate: Some(write.resource),
            validate_only: write.validate_only,
            request_id: write.request_id,
        };
        api.routes.clone().create_certificate(request).await?.into_inner().certificate.ok_or_else(hollow)
    }

    async fn put(api: &Api, write: Write<Self>) -> Result<Self, Status> {
        no_draft(&write)?;
        let request = UpdateCertificateRequest {
            certificate: Some(write.resource),
            update_mask: all_fields(),
            validate_only: write.validate_only,
            request_id: write.request_id,
            allow_missing: true,
        };
        api.routes.clone().update_certificate(request).await?.into_inner().certificate.ok_or_else(hollow)
    }

    async fn delete(api: &Api, delete: Delete) -> Result<(), Status> {
        let Delete { name, etag, validate_only, allow_missing, request_id } = delete;
        let request = DeleteCertificateRequest { name, etag, validate_only, request_id, allow_missing };
        api.routes.clone().delete_certificate(request).await.map(drop)
    }

    async fn revisions(
        api: &Api,
        name: String,
        page_size: i32,
        page_token: String,
    ) -> Result<Page<CertificateRevision>, Status> {
        let request = ListCertificateRevisionsRequest { name, page_size, page_token };
        let page = api.routes.clone().list_certificate_revisions(request).await?.into_inner();
        Ok((page.revisions, page.next_page_token))
    }

    async fn diff(api: &Api, name: String, from: i64, to: i64) -> Result<Compared, Status> {
        let answer = api
            .routes
            .clone()
            .diff_certificate_revisions(DiffCertificateRevisionsRequest { name, from, to })
            .await?;
        let DiffCertificateRevisionsResponse { from, to, differences } = answer.into_inner();
        Ok(Compared { from, to, differences })
    }
}

impl Show for Certificate {
    const COLUMNS: &'static [&'static str] = columns::CERTIFICATE;
    const WIDE: &'static [&'static str] = columns::MORE;

    fn called(&self) -> String {
        self.name.clone()
    }

    fn row(&self, wide: bool, now: i64) -> Vec<Cell> {
        columns::certificate(self, wide, now)
    }

    fn document(&self) -> Result<impl serde::Serialize, Failure> {
        Document::of(<Self as Resource>::KIND, <Self as Resource>::MESSAGE, self)
    }
}

impl RevisionOf<Certificate> for CertificateRevision {
    const KIND: &'static str = "CertificateRevision";
    const MESSAGE: &'static str = "hotswap.route.v1.CertificateRevision";

    fn revision(&self) -> i64 {
        self.revision
    }

    fn resource(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    fn at(&self) -> Option<&Timestamp> {
        self.create_time.as_ref()
    }

    fn actor(&self) -> &str {
        &self.actor
    }
}
