// Written by `python -m deskhand.testing.schema` from src/deskhand/protocol. Do not edit.

/** Exactly what will run if a person says yes; what the phone renders and hashes. */
export interface Action {
  tool: string;
  arguments: Record<string, JsonValue>;
  target?: string;
  folder?: string;
  argv?: readonly string[];
  preview?: string;
  identity?: string;
}

/** A wish that waits for a person's yes or no; single use, bound to ``action_sha256``. */
export interface Approval {
  id: string;
  task: string;
  thread: string;
  runner: string;
  epoch: number;
  sentence: string;
  action: Action;
  action_sha256: string;
  nonce: string;
  risk: "low" | "medium" | "high";
  scopes: readonly ("once" | "task" | "always")[];
  rule: string;
  why: string;
  pattern?: string;
  until?: string;
  requested_at: string;
  expires_at?: string;
  then: "deny" | "wait";
  state: "open" | "allowed" | "denied" | "void";
  decided_by?: string;
  decided_at?: string;
  scope?: "once" | "task" | "always";
  reason?: string;
}

/** Say yes or no to exactly this action. */
export interface ApprovalDecide {
  statement?: string;
  signature?: string;
  key?: string;
  approval: string;
  decision: "allow" | "deny";
  scope?: "once" | "task" | "always";
  action_sha256: string;
  reason?: string;
  device?: string;
}

/** The first decision won. */
export interface ApprovalDecided {
  statement?: string;
  signature?: string;
  key?: string;
  approval: string;
  decision: "allow" | "deny";
  scope: "once" | "task" | "always";
  action_sha256: string;
  reason?: string;
  device?: string;
}

/** An attempt waits for a yes or no. */
export interface ApprovalRequested {
  epoch: number;
  happened_at?: string;
  approval: Approval;
}

/** What would have run is no longer what was shown. */
export interface ApprovalVoided {
  epoch: number;
  happened_at?: string;
  approval: string;
  reason: string;
}

/** Put away (or, with ``false``, take out again). */
export interface Archive {
  archived?: boolean;
}

/** A file result, content-addressed. ``path`` is where it lies on the runner's computer. */
export interface Artifact {
  id: string;
  task: string;
  name: string;
  media_type: string;
  size: number;
  sha256: string;
  runner: string;
  path: string;
  origin: Origin;
  trust: Trust;
  state: "stored" | "on_runner" | "erased";
  created_at: string;
}

/** A file result exists; its bytes were stored before this was said. */
export interface ArtifactCreated {
  epoch: number;
  happened_at?: string;
  artifact: Artifact;
}

/** All an attempt starts from; travels with the assignment and is stored in the runner's inbox. */
export interface Brief {
  thread: string;
  title: string;
  text: string;
  agent: string;
  model?: string;
  folder?: string;
  mode?: FolderMode;
  criteria: readonly string[];
  files: readonly FileRef[];
  op_id?: string;
  budget?: Budget;
  label?: Label;
  origin: Origin;
  trust: Trust;
  created_at: string;
  task: string;
  epoch: number;
  checks: readonly string[];
  instructions?: Instructions;
  context: readonly ContextItem[];
}

/** How much a task may use before it pauses and asks. A limit that is absent is the account's; 0 is none. */
export interface Budget {
  steps?: number;
  tokens?: number;
  money?: BudgetMoney;
  minutes?: number;
}

/** A limit of money, in the currency that prices of models are known in. */
export interface BudgetMoney {
  amount: string;
  currency: "USD";
}

/** How many files of the folder differ because of a task. */
export interface Changes {
  created: number;
  changed: number;
  deleted: number;
}

/** Something that was run to see whether the result is right. ``ran_by`` says whose word it is. */
export interface Check {
  name: string;
  passed: boolean;
  evidence: string;
  ran_by: "runner" | "verifier";
}

/** A check was run and has evidence. */
export interface CheckFinished {
  epoch: number;
  happened_at?: string;
  check: Check;
}

/** A new try begins; the checks of the last one no longer stand for the result. */
export interface ChecksReset {
  epoch: number;
  happened_at?: string;
}

/** A command of the command agent, as a runner advertises it. */
export interface CommandInfo {
  name: string;
  summary: string;
  usage: string;
  examples: readonly string[];
  summary_ko: string;
  takes: "path" | "file" | "folder" | "words" | "line" | "name";
  endings: readonly string[];
  least: number;
  most: number;
  options: readonly OptionInfo[];
}

/** One earlier message or result of the thread, as an attempt sees it. */
export interface ContextItem {
  role: "user" | "agent" | "result";
  text: string;
  at: string;
  trust: Trust;
  label?: Label;
}

/** The agent said what it takes the task to mean; it counts only where the owner said nothing. */
export interface CriteriaRestated {
  epoch: number;
  happened_at?: string;
  criteria: readonly string[];
}

/** One notification to one device by one road, with its fate. A table of its own truth, never an event. */
export interface Delivery {
  id: string;
  class: "finished" | "needs_you" | "failed" | "runner_offline" | "test";
  road: string;
  device?: string;
  thread?: string;
  task?: string;
  tag: string;
  occasion: string;
  seq?: number;
  fate: "planned" | "sent" | "accepted" | "shown" | "tapped" | "held" | "suppressed" | "failed";
  reason?: string;
  attempts: number;
  at: string;
}

/** A signed-in phone, browser or CLI; a runner signs in as one too. ``person``: as the invitation named them. */
export interface Device {
  id: string;
  name: string;
  kind: "page" | "cli" | "runner" | "client";
  role: Role;
  person?: string;
  state: "active" | "revoked";
  public_key?: string;
  created_at: string;
  revoked_at?: string;
}

/** A device may act for the account. */
export interface DeviceAdded {
  device: Device;
}

/** Let the asking device in, or not. */
export interface DeviceAdmit {
  request: string;
  admit?: boolean;
}

/** A device said that another one may approve what needs a signature; each computer looks at that itself. */
export interface DeviceCertified {
  statement?: string;
  signature?: string;
  key?: string;
  device: string;
  fingerprint: string;
  runner: string;
}

/** Say, signed, that a device may approve what needs a signature. */
export interface DeviceCertify {
  statement?: string;
  signature?: string;
  key?: string;
  device: string;
  fingerprint: string;
  runner?: string;
}

/** Take every right from a device at once. */
export interface DeviceRevoke {
  device: string;
}

/** A device lost every right at once. */
export interface DeviceRevoked {
  device: string;
}

/** What a model says just now, for whoever watches; nothing of it is kept. At offset 0 it begins anew. */
export interface DraftSay {
  epoch: number;
  message: string;
  offset: number;
  text: string;
}

/** One fact, as every reader gets it. ``seq`` is gap-free per account; filtered streams have gaps. */
export interface Event {
  seq: number;
  kind: string;
  at: string;
  actor: string;
  thread?: string;
  task?: string;
  v: number;
  body: Record<string, JsonValue>;
}

/** A runner states a fact about a task leased to it, or advertises itself. */
export interface EventAppend {
  kind: string;
  body: Record<string, JsonValue>;
}

/** The error object of HTTP answers and op results. */
export interface Failure {
  code: string;
  message: string;
  cure: string;
  retryable: boolean;
  field?: string;
  request_id?: string;
}

/** A file that came with a message. */
export interface FileRef {
  id: string;
  name: string;
  size: number;
  sha256: string;
  media_type: string;
}

/** A folder of one runner. The runner's own file is the ceiling; this is what the hub knows of it. */
export interface Folder {
  id: string;
  runner: string;
  root: string;
  label: string;
  mode: FolderMode;
  marked: "mine" | "mixed";
  lent_to: readonly string[];
  once: boolean;
  instructions?: FolderInstructions;
  state: "granted" | "removed";
}

/** The file of a folder that goes with each task there, as far as it goes. */
export interface FolderInstructions {
  name: string;
  chars: number;
  sha256: string;
}

/** What may happen in a folder, from narrow to wide. */
export type FolderMode = "read-only" | "ask" | "workspace" | "trusted";

/** A folder is known under these terms. */
export interface FolderPut {
  folder: Folder;
}

/** Make a folder known under narrower or equal terms; the runner's own file is the ceiling. */
export interface FolderPutOp {
  id: string;
  runner: string;
  root: string;
  label: string;
  mode: FolderMode;
  marked?: "mine" | "mixed";
  lent_to?: readonly string[];
  once?: boolean;
}

/** Stop using a folder. */
export interface FolderRemove {
  folder: string;
}

/** A folder may no longer be used. */
export interface FolderRemoved {
  folder: string;
}

/** Where words were found: ``found`` as it stands between what is before and after it, in a thread of this title. */
export interface Hit {
  kind: "thread" | "message" | "result" | "file";
  thread: string;
  task?: string;
  seq: number;
  title: string;
  before: string;
  found: string;
  after: string;
}

/** What a folder's own file says to whoever works there: content of that file, never permission. */
export interface Instructions {
  name: string;
  text: string;
  trust: Trust;
}

export type JsonValue = unknown;

/** What is known of a content: which sources others could write, and which private places are in it. */
export interface Label {
  untrusted: readonly string[];
  private: readonly string[];
}

/** The runner still works on this epoch. */
export interface LeaseRenew {
  epoch: number;
}

/** Which life of its home a runner speaks in; a copied or restored home begins a new one. */
export interface Life {
  incarnation: string;
  said: string;
  born: string;
}

/** The account went back to a backup: what happened after ``backup_at`` is not in this log. */
export interface LogRestored {
  backup_at: string;
  devices_ended: number;
  tasks_paused: number;
}

/** Say something; without ``as`` it is an answer if ``to`` names the open question, else a task. */
export interface MessagePost {
  text: string;
  as?: "task" | "steer" | "answer";
  to?: string;
  files?: readonly string[];
  folder?: string;
  mode?: FolderMode;
  runner?: string;
  agent?: string;
  model?: string;
  title?: string;
  not_before?: string;
  deadline?: string;
  budget?: Budget;
  plan?: boolean;
  criteria?: readonly string[];
  checks?: readonly string[];
}

/** Somebody said something. ``meant`` is what the sender wanted it to be. */
export interface MessagePosted {
  message: string;
  role: "user" | "agent" | "system";
  text: string;
  origin: Origin;
  trust: Trust;
  meant: "task" | "steer" | "answer" | "say";
  files: readonly FileRef[];
  happened_at?: string;
  epoch?: number;
}

/** The model that a computer thinks with unless a task names another. Keys and addresses never cross the wire. */
export interface ModelInfo {
  name: string;
  source: "config" | "key" | "server" | "embedded";
  label?: "stand_in" | "too_small";
  context_tokens?: number;
}

/** An exact amount. */
export interface Money {
  amount: string;
  currency: string;
}

/** Send no notifications about a conversation (or, with ``false``, send them again). */
export interface Mute {
  muted?: boolean;
}

/** For ops that need no words. */
export type Nothing = Record<string, never>;

/** A notification was shown or tapped. */
export interface NotificationAck {
  delivery: string;
  fate: "shown" | "tapped";
}

/** One wish. ``thread`` and ``task`` say what it is about; ``body`` has the shape of its kind. */
export interface Op {
  op_id: string;
  kind: string;
  thread?: string;
  task?: string;
  life?: Life;
  body?: Record<string, JsonValue>;
}

/** What became of one op. */
export interface OpResult {
  op_id: string;
  status: "ok" | "duplicate" | "rejected";
  seq?: number;
  id?: string;
  task?: string;
  error?: Failure;
}

/** An option of a command: one of ``choices``, a number up to ``most``, free text; without ``metavar`` a switch. */
export interface OptionInfo {
  name: string;
  metavar: string;
  choices: readonly string[];
  most?: number;
}

/** Where a message or file came from. */
export interface Origin {
  surface: "page" | "cli" | "http" | "agent" | "hub" | "channel";
  device?: string;
  person?: string;
  channel?: string;
}

/** The request was admitted or refused. */
export interface PairDecided {
  request: string;
  state: "admitted" | "refused";
}

/** A stranger asking to join; both screens show ``match``. */
export interface PairRequest {
  id: string;
  name: string;
  kind: "page" | "cli" | "runner" | "client";
  role: Role;
  person?: string;
  match: string;
  state: "waiting" | "admitted" | "refused";
  asked_at: string;
}

/** Somebody asks to join. */
export interface PairRequested {
  request: PairRequest;
}

/** One line of the plan checklist. */
export interface PlanItem {
  text: string;
  done: boolean;
}

/** The plan checklist as it is now. */
export interface PlanUpdated {
  epoch: number;
  happened_at?: string;
  items: readonly PlanItem[];
}

/** How a runner's link stands, as the hub sees it now; never an event. */
export interface Presence {
  runner: string;
  connected: boolean;
  seen_at: string;
  state: "up" | "asleep" | "off" | "no_network" | "stopped";
  slept_seconds?: number;
  woke_at?: string;
}

/** How the runner's computer stands: it is here, or about to go; after a sleep, how long it slept. */
export interface PresenceNote {
  state?: "up" | "asleep" | "off" | "stopped";
  slept_seconds?: number;
}

/** Something the agent wants to know from a person. */
export interface Question {
  id: string;
  task: string;
  thread: string;
  text: string;
  choices: readonly string[];
  tasks: readonly string[];
  asked_at: string;
  state: "open" | "answered" | "void";
  answer?: string;
  answered_by?: string;
  answered_at?: string;
}

/** Answer an open question. */
export interface QuestionAnswer {
  question: string;
  answer: string;
}

/** A person answered. */
export interface QuestionAnswered {
  question: string;
  answer: string;
}

/** The agent wants to know something. */
export interface QuestionAsked {
  epoch: number;
  happened_at?: string;
  question: Question;
}

/** The task ended; nobody needs to answer any more. */
export interface QuestionVoided {
  epoch: number;
  happened_at?: string;
  question: string;
}

/** Why a queued task is not under way yet. */
export type QueueReason = "runner_offline" | "no_model" | "slot" | "folder_busy" | "not_before" | "parent" | "not_lent";

/** Everything of the thread up to ``seq`` was seen. */
export interface ReadMark {
  seq: number;
}

/** What a principal may do; the table is in ``authority``. */
export type Role = "owner" | "member" | "viewer" | "runner" | "bridge" | "client";

/** A computer that does the work. ``models``: every model that a task may name there. */
export interface Runner {
  id: string;
  name: string;
  incarnation: string;
  protocol: number;
  kinds: readonly string[];
  commands: readonly CommandInfo[];
  tools: readonly string[];
  model?: ModelInfo;
  models: readonly string[];
  agents: readonly string[];
  sandbox: SandboxInfo;
  slots: number;
  hub_trust: "low" | "medium" | "high";
  trusted: readonly string[];
  advertised_at: string;
  state: "active" | "revoked";
}

/** What a computer can do now: one event replaces the last one. */
export interface RunnerAdvertised {
  runner: Runner;
  folders: readonly Folder[];
}

/** How commands run on that computer. */
export interface SandboxInfo {
  name: string;
  level: "full" | "reduced" | "none";
  reason?: string;
}

/** One setting of the account; its schema is in the registry. */
export interface Setting {
  id: string;
  value?: JsonValue;
  changed_at: string;
  changed_by: string;
}

/** A setting of the account has a new value; ``None`` travels as an absent field. */
export interface SettingChanged {
  name: string;
  value?: JsonValue;
}

/** Change one setting of the registry. */
export interface SettingsPut {
  name: string;
  value: JsonValue;
}

/** Show a conversation to everybody of the account (or, with ``false``, take that back). */
export interface Share {
  shared?: boolean;
}

/** A step has a result, or an honest ``unknown``; ``usage`` is what the task used so far, ``label`` what it read. */
export interface StepFinished {
  epoch: number;
  happened_at?: string;
  step: number;
  outcome: "ok" | "error" | "denied" | "unknown";
  summary: string;
  usage?: Usage;
  label?: Label;
}

/** A step is about to have its effect. */
export interface StepStarted {
  epoch: number;
  happened_at?: string;
  step: number;
  tool: string;
  title: string;
}

/** A command the task's text may have meant; runs only by a tap on exactly this preview. */
export interface Suggestion {
  id: string;
  command: string;
  preview: string;
  not_honored: readonly string[];
  runner: string;
  folder?: string;
  preview_sha256: string;
}

/** A person chose one, as it was shown: its command is the task's text now. */
export interface SuggestionChosen {
  suggestion: Suggestion;
  mode?: FolderMode;
}

/** A fact of an attempt that had lost its epoch: kept, never state. */
export interface Superseded {
  kind: string;
  epoch: number;
  body: Record<string, JsonValue>;
}

/** One piece of delegated work, as HTTP returns it. */
export interface Task {
  thread: string;
  title: string;
  text: string;
  agent: string;
  model?: string;
  folder?: string;
  mode?: FolderMode;
  criteria: readonly string[];
  files: readonly FileRef[];
  op_id?: string;
  budget?: Budget;
  label?: Label;
  origin: Origin;
  trust: Trust;
  created_at: string;
  id: string;
  state: TaskState;
  reason?: QueueReason;
  verdict?: Verdict;
  summary?: string;
  not_done_because: readonly string[];
  runner?: string;
  pinned: boolean;
  epoch: number;
  parent?: string;
  children: readonly string[];
  retry_of?: string;
  suggestions: readonly Suggestion[];
  said?: string;
  criteria_by?: "owner" | "agent";
  requested_checks: readonly string[];
  checks: readonly Check[];
  artifacts: readonly Artifact[];
  changes: Changes;
  plan: readonly PlanItem[];
  now_doing?: string;
  tries: number;
  usage: Usage;
  model_used?: string;
  answer: boolean;
  waiting_for: readonly Waiting[];
  archived: boolean;
  not_before?: string;
  created_by: string;
  accepted_at?: string;
  started_at?: string;
  finished_at?: string;
}

/** The runner has stored the brief. */
export interface TaskAccept {
  epoch: number;
}

/** The runner has the brief on its own disk. */
export interface TaskAccepted {
  epoch: number;
  happened_at?: string;
}

/** Put away, or taken out again. */
export interface TaskArchived {
  archived: boolean;
}

/** An order to a runner: work on this, under this epoch. */
export interface TaskAssigned {
  runner: string;
  epoch: number;
  brief: Brief;
}

/** Work was delegated; the object is complete as it begins. */
export interface TaskCreated {
  task: Task;
}

/** Change what a task is called or what it must fulfil. */
export interface TaskEdit {
  title?: string;
  criteria?: readonly string[];
}

/** The owner changed title or criteria; later checks follow it. */
export interface TaskEdited {
  title?: string;
  criteria?: readonly string[];
}

/** The one end of a task. ``answer``: the result is a message that was just said, with nothing to check. */
export interface TaskFinished {
  epoch: number;
  happened_at?: string;
  state: TaskState;
  verdict?: Verdict;
  summary?: string;
  not_done_because: readonly string[];
  changes: Changes;
  usage: Usage;
  model?: string;
  answer: boolean;
  label?: Label;
}

/** The attempt moved the task to another state that is not final. */
export interface TaskMoved {
  epoch: number;
  happened_at?: string;
  state: TaskState;
  reason?: QueueReason;
}

/** The owner stopped the clock; the attempt keeps its place. */
export interface TaskPaused {
  by: "owner" | "budget";
}

/** The task waits, for this reason. With a brief: a computer is asked which commands its text may mean. */
export interface TaskQueued {
  reason?: QueueReason;
  brief?: Brief;
}

/** The owner let it go on. */
export type TaskResumed = Record<string, never>;

/** Run the suggestion of this id, exactly as it was shown, in the place of the task's text. */
export interface TaskRunAs {
  suggestion: string;
  preview_sha256: string;
}

/** Where a task is; the meaning of each is in the design's table. */
export type TaskState = "queued" | "working" | "input_required" | "verifying" | "paused" | "completed" | "failed" | "canceled";

/** A runner says which of its commands a task may mean that waits for a model. */
export interface TaskSuggest {
  suggestions: readonly Suggestion[];
}

/** A computer found commands that the text of a waiting task may mean; they replace what it found before. */
export interface TaskSuggested {
  suggestions: readonly Suggestion[];
}

/** A persistent conversation; its ``person``'s (without a name: the owner's) alone, until it is ``shared``. */
export interface Thread {
  id: string;
  title: string;
  state: "open" | "erased";
  archived: boolean;
  muted: boolean;
  created_at: string;
  updated_at: string;
  created_by: string;
  person?: string;
  model?: string;
  shared: boolean;
  tasks: number;
  latest_task?: string;
  last_text?: string;
}

/** A conversation was put away, or taken out again. */
export interface ThreadArchived {
  archived: boolean;
}

/** Begin a conversation. */
export interface ThreadCreate {
  title?: string;
}

/** A conversation began; without a ``person`` it is the owner's. */
export interface ThreadCreated {
  title: string;
  person?: string;
}

/** Bodies and blobs of the conversation are gone; its seqs stay, and whose it was. */
export interface ThreadErased {
  person?: string;
}

/** Say which model thinks in a conversation unless a task names another; ``null`` is the computer's own. */
export interface ThreadModel {
  model?: string;
}

/** A conversation thinks with another model, or again with its computer's own. */
export interface ThreadModelSet {
  model?: string;
}

/** No notifications are sent about a conversation, or again. */
export interface ThreadMuted {
  muted: boolean;
}

/** Give a conversation another title. */
export interface ThreadRename {
  title: string;
}

/** A conversation has a new title. */
export interface ThreadRenamed {
  title: string;
}

/** The ``person`` of a conversation shows it to everybody of the account, or to nobody else again. */
export interface ThreadShared {
  shared: boolean;
  person: string;
}

/** Who could have written a text: its owner, or somebody else. */
export type Trust = "owner" | "untrusted";

/** A file on its way in, bound to the principal that sends it. */
export interface Upload {
  id: string;
  name: string;
  size: number;
  offset: number;
  media_type: string;
  sha256?: string;
  expires_at: string;
}

/** What a task used so far. Tokens without ``money``: nobody knows what they cost, which is not nothing. */
export interface Usage {
  steps: number;
  input_tokens: number;
  output_tokens: number;
  money?: Money;
}

/** How far a result can be believed. */
export type Verdict = "verified" | "unverified" | "not_done";

/** One thing a task waits for. */
export interface Waiting {
  kind: "approval" | "question" | "plan" | "children";
  id: string;
  since: string;
  expires_at?: string;
  then: "deny" | "wait";
}

export interface Collections {
  "threads": Thread;
  "tasks": Task;
  "approvals": Approval;
  "questions": Question;
  "artifacts": Artifact;
  "devices": Device;
  "pair_requests": PairRequest;
  "runners": Runner;
  "folders": Folder;
  "settings": Setting;
}

export interface EventBodies {
  "device.added": DeviceAdded;
  "device.revoked": DeviceRevoked;
  "device.certified": DeviceCertified;
  "pair.requested": PairRequested;
  "pair.decided": PairDecided;
  "runner.advertised": RunnerAdvertised;
  "folder.put": FolderPut;
  "folder.removed": FolderRemoved;
  "thread.created": ThreadCreated;
  "thread.renamed": ThreadRenamed;
  "thread.shared": ThreadShared;
  "thread.archived": ThreadArchived;
  "thread.muted": ThreadMuted;
  "thread.model_set": ThreadModelSet;
  "thread.erased": ThreadErased;
  "message.posted": MessagePosted;
  "task.created": TaskCreated;
  "task.queued": TaskQueued;
  "task.suggested": TaskSuggested;
  "suggestion.chosen": SuggestionChosen;
  "task.assigned": TaskAssigned;
  "task.accepted": TaskAccepted;
  "task.moved": TaskMoved;
  "task.edited": TaskEdited;
  "criteria.restated": CriteriaRestated;
  "task.paused": TaskPaused;
  "task.resumed": TaskResumed;
  "task.archived": TaskArchived;
  "task.finished": TaskFinished;
  "step.started": StepStarted;
  "step.finished": StepFinished;
  "plan.updated": PlanUpdated;
  "approval.requested": ApprovalRequested;
  "approval.decided": ApprovalDecided;
  "approval.voided": ApprovalVoided;
  "question.asked": QuestionAsked;
  "question.answered": QuestionAnswered;
  "question.voided": QuestionVoided;
  "check.finished": CheckFinished;
  "checks.reset": ChecksReset;
  "artifact.created": ArtifactCreated;
  "setting.changed": SettingChanged;
  "log.restored": LogRestored;
  "event.superseded": Superseded;
}

export interface OpBodies {
  "thread.erase": Nothing;
  "task.cancel": Nothing;
  "task.pause": Nothing;
  "task.resume": Nothing;
  "task.retry": Nothing;
  "thread.create": ThreadCreate;
  "thread.rename": ThreadRename;
  "thread.set_model": ThreadModel;
  "thread.archive": Archive;
  "task.archive": Archive;
  "thread.share": Share;
  "thread.mute": Mute;
  "message.post": MessagePost;
  "task.edit": TaskEdit;
  "task.run_as": TaskRunAs;
  "approval.decide": ApprovalDecide;
  "question.answer": QuestionAnswer;
  "read.mark": ReadMark;
  "notification.ack": NotificationAck;
  "device.admit": DeviceAdmit;
  "device.revoke": DeviceRevoke;
  "device.certify": DeviceCertify;
  "folder.put": FolderPutOp;
  "folder.remove": FolderRemove;
  "settings.put": SettingsPut;
  "task.accept": TaskAccept;
  "task.suggest": TaskSuggest;
  "event.append": EventAppend;
  "lease.renew": LeaseRenew;
  "presence.note": PresenceNote;
  "draft.say": DraftSay;
}

export type ErrorCode =
  | "action_changed"
  | "address_refused"
  | "already_decided"
  | "backup_damaged"
  | "body_timeout"
  | "clock_wrong"
  | "config_invalid"
  | "conflict"
  | "credential_in_query"
  | "disk_full"
  | "download_failed"
  | "egress_quota"
  | "folder_changed"
  | "folder_refused"
  | "folder_unknown"
  | "forbidden"
  | "home_locked"
  | "home_unsafe"
  | "host_refused"
  | "hub_changed"
  | "hub_unreachable"
  | "illegal_state"
  | "internal"
  | "invalid"
  | "invite_invalid"
  | "malformed_json"
  | "method_refused"
  | "model_busy"
  | "model_context"
  | "model_file"
  | "model_key"
  | "model_refused"
  | "model_unknown"
  | "not_found"
  | "op_conflict"
  | "origin_refused"
  | "path_refused"
  | "port_taken"
  | "protected_name"
  | "rate_limited"
  | "root_refused"
  | "runner_replaced"
  | "runner_restored"
  | "sandbox_unavailable"
  | "schema_newer"
  | "secret_reused"
  | "signature_needed"
  | "stale_epoch"
  | "store_damaged"
  | "tailscale_away"
  | "tailscale_missing"
  | "tailscale_no_https"
  | "tailscale_refused"
  | "tailscale_taken"
  | "timeout"
  | "too_large"
  | "two_credentials"
  | "unauthorized"
  | "unavailable"
  | "undo_gone"
  | "unknown_command"
  | "unknown_kind"
  | "unsupported_type"
  | "upgrade_required"
  | "upload_offset"
  | "upload_version";

export type Collection =
  | "threads"
  | "tasks"
  | "approvals"
  | "questions"
  | "artifacts"
  | "devices"
  | "pair_requests"
  | "runners"
  | "folders"
  | "settings";
