//! From an operation's name to its use case, and from its outcome to JSON.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Channel, Job};
use crate::engine::{self, Context, Counting, Direction, Host, Level, Recovery};
use crate::error::{Code, Error, Result, fail};
use crate::failpoint;

impl Host for Channel {
    fn progress(&self, phase: &str, done: u64, total: u64, unit: &str) {
        Channel::progress(self, phase, done, total, unit);
    }

    fn check_alive(&self) -> Result<()> {
        Channel::check_alive(self)
    }
}

/// Runs one job, and counts it.
pub(crate) fn run(job: Job, channel: &Channel) -> Result<Value> {
    failpoint::reached("job.start")?;
    let args = Args(job.args);
    if job.operation == "doctor" {
        // It tells even of a repository that nobody can open.
        let with_repository = args.get("repository")?.unwrap_or_default();
        return Ok(engine::doctor(job.config, Arc::new(channel.clone()), with_repository));
    }
    let context = Context::new(job.config, Arc::new(channel.clone()))?;
    let counting = Counting::begin(&context, &job.operation);
    let repository = context.repository.clone();
    let outcome = operate(context, &job.operation, &args, channel);
    engine::remember_damaged_packs(&repository);
    counting.end(&outcome);
    outcome
}

fn operate(context: Context, operation: &str, args: &Args, channel: &Channel) -> Result<Value> {
    match operation {
        "createSnapshot" => {
            let name: Option<String> = args.get("name")?;
            Ok(json!({ "snapshot": engine::create(&context, name.as_deref())? }))
        }
        "restoreFromSnapshot" => {
            let context = context.of_tier(args.get("tier")?).forced(args.get("force")?);
            let foreign = args.get("foreign")?.unwrap_or(false);
            Ok(json!({ "snapshot": engine::restore(&context, &args.text("name")?, foreign)? }))
        }
        "rescueDatabase" => {
            let name: Option<String> = args.get("name")?;
            Ok(json!({ "snapshot": engine::rescue(&context, name.as_deref())? }))
        }
        "undoRestore" => Ok(json!({ "snapshot": engine::undo(&context)? })),
        "bootstrapDatabase" => engine::bootstrap(&context.forced(args.get("force")?)),
        "isDatabaseEmpty" => Ok(json!({ "empty": engine::is_database_empty(&context)? })),
        "resetDatabase" => engine::reset(&context),
        "checksum" => Ok(json!({ "checksum": engine::checksum_of_file(&PathBuf::from(args.text("path")?))? })),
        "listSnapshots" => {
            let with_deleted = args.get("deleted")?.unwrap_or(false);
            channel.items(&engine::list(&context, with_deleted)?);
            Ok(json!({}))
        }
        "getSnapshot" => Ok(json!({ "snapshot": engine::get(&context, &args.text("name")?)? })),
        "verifySnapshot" => {
            let context = context.of_tier(args.get("tier")?);
            let level = args.get("level")?.unwrap_or(Level::Data);
            Ok(json!(engine::verify(&context, &args.text("name")?, level)?))
        }
        "exportSnapshot" => {
            let context = context.of_tier(args.get("tier")?);
            engine::export(&context, &args.text("name")?, &PathBuf::from(args.text("path")?))
        }
        "deleteSnapshot" => engine::delete(&context, &args.text("name")?),
        "deleteObject" => engine::delete_object(&context, &args.text("key")?),
        "headObject" => engine::head_object(&context, &args.text("key")?),
        "sync" => {
            let direction = args.get("direction")?.unwrap_or(Direction::Up);
            Ok(json!(engine::sync(&context, direction)?))
        }
        "claimTick" => engine::claim_tick(&context, args.text("schedule")?, args.required("tick")?),
        "finishTick" => engine::finish_tick(&context, args.required("tick")?),
        "giveBackTick" => engine::give_back_tick(&context, args.required("tick")?),
        "checkStorage" => engine::check_storage(&context),
        "prune" => {
            let context = context.of_tier(args.get("tier")?);
            let how = engine::HowToPrune {
                dry_run: args.get("dryRun")?.unwrap_or(false),
                now: args.get("now")?.unwrap_or(false),
            };
            engine::prune(&context, &args.get("policy")?.unwrap_or_default(), how)
        }
        "pinSnapshot" => Ok(json!({ "snapshot": engine::pin(&context, &args.text("name")?)? })),
        "unpinSnapshot" => Ok(json!({ "snapshot": engine::unpin(&context, &args.text("name")?)? })),
        "undelete" => Ok(json!({ "snapshot": engine::undelete(&context, &args.text("name")?)? })),
        "acknowledge" => engine::acknowledge(&context),
        "drill" => {
            let request: engine::DrillRequest = args.all()?;
            let context = context.of_tier(args.get("tier")?);
            Ok(json!(engine::drill(&context, &request)?))
        }
        "drills" => {
            let drills = engine::drills(&context)?;
            channel.items(&drills.iter().map(|drill| json!(drill)).collect::<Vec<_>>());
            Ok(json!({}))
        }
        "status" => engine::status(&context),
        "metrics" => engine::metrics(&context),
        "inspectSchema" => {
            let folder = PathBuf::from(args.text("migrationsPath")?);
            engine::inspect_schema(&context, &folder, args.required("migrations")?)
        }
        operation => recover(&context, operation, args, channel),
    }
}

/// The operations of the recovery utilities.
fn recover(context: &Context, operation: &str, args: &Args, channel: &Channel) -> Result<Value> {
    let recovery = || Recovery::open(context, &PathBuf::from(args.text("recoveryDir")?));
    match operation {
        "createPreOperationBackup" => recovery()?.back_up(&args.text("type")?, args.get("metadata")?),
        "rollbackToPreOperationBackup" => recovery()?.roll_back(&args.text("name")?),
        "recoverFromFailedRestore" => recovery()?.recover(&args.text("name")?),
        "validateDatabaseIntegrity" => recovery()?.validate(),
        "emergencyDatabaseReset" => recovery()?.reset(),
        "cleanupOldRecoveryBackups" => {
            let max_age = args.get("maxAgeMs")?.unwrap_or_default();
            recovery()?.clean_up(Duration::from_millis(max_age))
        }
        "getRecoveryStatus" => {
            let (backups, status) = recovery()?.status()?;
            channel.items(&backups);
            Ok(status)
        }
        other => fail!(Internal, "unknown operation {other}"),
    }
}

/// The arguments of a job.
struct Args(Map<String, Value>);

impl Args {
    fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value.clone()).map(Some).map_err(|error| {
                Error::new(Code::InvalidArgument, format!("the argument {name} is malformed")).because(error)
            }),
        }
    }

    /// All of them, as one thing.
    fn all<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(Value::Object(self.0.clone()))
            .map_err(|error| Error::new(Code::InvalidArgument, "the arguments are malformed").because(error))
    }

    fn text(&self, name: &str) -> Result<String> {
        self.required(name)
    }

    fn required<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        match self.get(name)? {
            Some(value) => Ok(value),
            None => fail!(InvalidArgument, "the argument {name} is missing"),
        }
    }
}
