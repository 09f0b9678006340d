-- The table in which the package snapshot-writer lists snapshots. IF NOT EXISTS: a table that is
-- there already, made by `prisma db push` or by hand, stays as it is.

-- CreateTable
CREATE TABLE IF NOT EXISTS "Snapshot" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "name" TEXT NOT NULL,
    "s3Key" TEXT NOT NULL,
    "checksum" TEXT NOT NULL,
    "size" INTEGER NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'PENDING',
    "restoreStatus" TEXT,
    "restoreMessage" TEXT,
    "lastRestoredAt" DATETIME,
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" DATETIME NOT NULL,
    "schemaVersion" INTEGER NOT NULL DEFAULT 1
);

-- CreateIndex
CREATE UNIQUE INDEX IF NOT EXISTS "Snapshot_name_key" ON "Snapshot"("name");

-- CreateIndex
CREATE INDEX IF NOT EXISTS "Snapshot_status_idx" ON "Snapshot"("status");

-- CreateIndex
CREATE INDEX IF NOT EXISTS "Snapshot_lastRestoredAt_idx" ON "Snapshot"("lastRestoredAt");
