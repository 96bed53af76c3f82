-- What release 0.1.0 left when it was killed: job 1 done, 2 failed, 3 done with options, 4 begun (extract is to come).
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE batch (
        id INTEGER PRIMARY KEY,
        job INTEGER NOT NULL,
        seq INTEGER NOT NULL,             -- 0 is the upload's own, which ends as the job's last batch
        stage INTEGER NOT NULL,
        state INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        charges INTEGER NOT NULL DEFAULT 0,
        orphaned INTEGER NOT NULL DEFAULT 0, -- supervisor deaths while it ran, without progress since
        mark BLOB NOT NULL DEFAULT x'',   -- progress at its last death, and the members singled out
        bytes INTEGER NOT NULL,
        files INTEGER NOT NULL,
        payload BLOB NOT NULL,
        names TEXT NOT NULL,              -- what it owns in work/, newline-separated
        checkpoint BLOB NOT NULL DEFAULT x'', -- where its extract goes on after a restart
        closed INTEGER NOT NULL DEFAULT 0 -- batches that its extract has closed
    );
INSERT INTO "batch" VALUES(1,4,0,1,0,0,0,0,X'',8,1,X'','',X'',0);
CREATE TABLE event (
        job INTEGER NOT NULL,
        id INTEGER NOT NULL,              -- order within the ledger
        at REAL NOT NULL,
        seq INTEGER NOT NULL,
        stage INTEGER,
        what TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        seconds REAL NOT NULL,            -- working time, where the event ends some
        detail TEXT NOT NULL,
        PRIMARY KEY (job, id)
    ) WITHOUT ROWID;
INSERT INTO "event" VALUES(1,1,1.79552849581076502801e+09,0,NULL,'arrived',0,0.0,'file:@IN@/done.csv#1795528495810845512.0');
INSERT INTO "event" VALUES(1,3,1.79552849606641793246e+09,0,0,'finished',1,9.61300011113053187727e-05,'');
INSERT INTO "event" VALUES(1,5,1.79552849614589214322e+09,0,1,'finished',1,1.00698000096599571406e-04,'');
INSERT INTO "event" VALUES(1,7,1.79552849646215367321e+09,0,2,'finished',1,1.20407180002075619995e-02,'');
INSERT INTO "event" VALUES(1,8,1795528496.48608,0,3,'published',0,1.0603803000776679255e-02,'2026-11/1-done');
INSERT INTO "event" VALUES(2,2,1.79552849581087684634e+09,0,NULL,'arrived',0,0.0,'file:@IN@/bad.zip#1795528495810899673.1');
INSERT INTO "event" VALUES(2,4,1.79552849606654119484e+09,0,0,'finished',1,2.7111000235890969634e-05,'');
INSERT INTO "event" VALUES(2,6,1.79552849615452909471e+09,0,3,'failed',0,6.98552800167817622423e-03,'truncated');
INSERT INTO "event" VALUES(3,100003,1.79552849657073354721e+09,0,NULL,'arrived',0,0.0,'file:@IN@/secret.csv#1795528496570809755.0');
INSERT INTO "event" VALUES(3,100004,1.795528497141163826e+09,0,0,'finished',1,9.59000008151633664965e-05,'');
INSERT INTO "event" VALUES(3,100005,1.79552849752704358097e+09,0,1,'finished',1,1.24342999697546474635e-04,'');
INSERT INTO "event" VALUES(3,100006,1.79552849801047754293e+09,0,2,'finished',1,6.55285799984994810074e-03,'');
INSERT INTO "event" VALUES(3,100007,1.79552849803728723529e+09,0,3,'published',0,1.88692729989270446822e-02,'2026-11/3-secret');
INSERT INTO "event" VALUES(4,200005,1.79552849809787130356e+09,0,NULL,'arrived',0,0.0,'file:@IN@/begun.csv#1795528498097995460.0');
INSERT INTO "event" VALUES(4,200006,1.79552849860616779327e+09,0,0,'finished',1,1.05608000012580305337e-04,'');
CREATE TABLE job (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        source TEXT NOT NULL UNIQUE,      -- where it came from: file:<path>#<n>, tg:<chat>:<message>
        name TEXT NOT NULL,
        path TEXT NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        device INTEGER NOT NULL,
        sha256 TEXT,
        options BLOB NOT NULL,            -- msgpack model.Options; its password is wiped when the job ends
        state TEXT NOT NULL,              -- waiting, held, done, failed, duplicate, cancelled
        reason TEXT,                      -- JSON model.Reason
        duplicate_of INTEGER,             -- the job it equals (state duplicate) or waits for (state held)
        epoch INTEGER NOT NULL DEFAULT 0, -- how often it was set back to its upload
        arrived_at REAL NOT NULL,
        ended_at REAL,
        result_path TEXT,                 -- relative to the library
        members TEXT,                     -- JSON model.MemberCounts
        rejected_records INTEGER NOT NULL DEFAULT 0
    );
INSERT INTO "job" VALUES(1,'file:@IN@/done.csv#1795528495810845512.0','done.csv','@IN@/done.csv',8,1795528495756938784,2918176,65024,'492d5ea496056f1a6a6592241032fab764c321596317930b4fa0e1e8bc3b7470',X'92C0A46175746F','done',NULL,NULL,0,1.79552849581076502801e+09,1795528496.48608,'2026-11/1-done','{"total":1,"converted":1,"kept":0,"rejected":0}',0);
INSERT INTO "job" VALUES(2,'file:@IN@/bad.zip#1795528495810899673.1','bad.zip','@IN@/bad.zip',4,1795528495761263930,2918179,65024,'8dcc7e601606217f3b754766511182a916b17e9a26a94c9d887104eba92e9bb2',X'92C0A46175746F','failed','{"code":"truncated","text":"It ends before it should: its table of contents is missing, so what follows is lost.","next_step":"The transfer or the copy was probably cut short; send it again."}',NULL,0,1.79552849581087684634e+09,1.79552849615452909471e+09,'2026-11/2-bad','{"total":0,"converted":0,"kept":0,"rejected":0}',0);
INSERT INTO "job" VALUES(3,'file:@IN@/secret.csv#1795528496570809755.0','secret.csv','@IN@/secret.csv',8,1795528495761127344,2918178,65024,'9c4c009b67b52ecea7c557676b9ac71f7ddeaf49c600c532e01b85d737bde961',X'92C0A474657874','done',NULL,NULL,0,1.79552849657073354721e+09,1.79552849803728723529e+09,'2026-11/3-secret','{"total":1,"converted":1,"kept":0,"rejected":0}',0);
INSERT INTO "job" VALUES(4,'file:@IN@/begun.csv#1795528498097995460.0','begun.csv','@IN@/begun.csv',8,1795528495760975309,2918177,65024,'e7f1cdc787bef2e5f844bd6ac61f688d8afde3e9cbff61c9ab2b9e3b7d104650',X'92C0A46175746F','waiting',NULL,NULL,0,1.79552849809787130356e+09,NULL,NULL,NULL,0);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('boot_id','e531b29c-9175-4c46-91d0-dd8df5153dce');
INSERT INTO "meta" VALUES('event_ids','300006');
CREATE TABLE tables (
        job INTEGER NOT NULL,
        name TEXT NOT NULL,
        path TEXT NOT NULL,
        source TEXT NOT NULL,
        rows INTEGER NOT NULL,
        rejected INTEGER NOT NULL,
        columns TEXT NOT NULL,            -- JSON list of model.Column
        PRIMARY KEY (job, name)
    ) WITHOUT ROWID;
INSERT INTO "tables" VALUES(1,'done','2026-11/1-done/done','done.csv',1,0,'[{"name":"a","type":"BIGINT"},{"name":"b","type":"BIGINT"}]');
INSERT INTO "tables" VALUES(3,'secret','2026-11/3-secret/secret','secret.csv',1,0,'[{"name":"e","type":"VARCHAR"},{"name":"f","type":"VARCHAR"}]');
CREATE INDEX job_equal ON job (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX job_path ON job (path);
CREATE INDEX job_waiting ON job (id) WHERE state = 'waiting';
CREATE INDEX job_held ON job (id) WHERE state = 'held';
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('job',4);
COMMIT;
