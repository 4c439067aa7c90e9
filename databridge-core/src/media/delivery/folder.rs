//! Deliveries to a folder that is mounted here.

use std::path::PathBuf;
use std::sync::Arc;

use crate::media::copy::{self, Aborted, Error, Prepared, Published, ReadBack, Shape, Transferred};
use crate::media::monitor::Monitor;
use crate::media::rsync;
use crate::media::storage::Location;

use super::{Delivery, FolderProof, Method, Methods, Plan, Proof};

/// By our own engine, or filled by rsync.
#[derive(Debug)]
pub struct FolderDelivery {
    destination: Location,
    plan: copy::Plan,
    method: Method,
    rsync: rsync::Settings,
}

impl FolderDelivery {
    pub fn new(plan: Plan, path: PathBuf, methods: &Methods) -> Self {
        let copy = copy::Plan {
            source: plan.source,
            destination: path,
            shape: Shape::Tree,
            manifest: plan.manifest,
            attempt: plan.attempt,
            policy: plan.policy,
        };
        Self {
            destination: plan.destination,
            plan: copy,
            method: methods.folders,
            rsync: methods.rsync.clone(),
        }
    }
}

impl Delivery for FolderDelivery {
    fn method(&self) -> &'static str {
        match self.method {
            Method::Native => "native",
            Method::Rsync => "rsync",
        }
    }
    fn destination(&self) -> &Location {
        &self.destination
    }
    fn prepare(&self) -> Result<Prepared, Error> {
        copy::prepare(&self.plan)
    }
    fn transfer(&self, monitor: &dyn Monitor) -> Result<Transferred, Error> {
        match self.method {
            Method::Native => copy::transfer(&self.plan, monitor),
            Method::Rsync => rsync::transfer(&self.plan, &self.rsync, monitor),
        }
    }
    fn verify(&self, monitor: &dyn Monitor) -> Result<ReadBack, Error> {
        copy::verify(&self.plan, monitor)
    }
    fn publish(&self, monitor: &dyn Monitor) -> Result<Published, Error> {
        copy::publish(&self.plan, monitor)
    }
    fn finish(&self) -> Result<(), Error> {
        copy::finish(&self.plan)
    }
    fn abort(&self) -> Result<Aborted, Error> {
        copy::abort(&self.plan)
    }
    fn proof(&self) -> Arc<dyn Proof> {
        Arc::new(FolderProof::of(&self.plan))
    }
}
