'use strict';

// Snapshots in both tiers that share packs of which a restore would use less than half: worth repacking.

const { createDatabase, rewriteFiller } = require('./database.js');
const { withFailpoint } = require('./failpoints.js');
const { makeS3Rig } = require('./s3.js');

/** `large`, `half`, `worn` and `newest`, none of them repacked yet. */
async function makeWornRig(t, server, options) {
  const rig = await makeS3Rig(t, server, options);
  createDatabase(rig.database, { megabytes: 8 });
  // They would be repacked at once.
  await withFailpoint('repack.before-packs=fail', async () => {
    await rig.writer.createSnapshot('large');
    for (const [name, step] of Object.entries({ half: 2, worn: 3, newest: 50 })) {
      rewriteFiller(rig.database, step);
      await rig.writer.createSnapshot(name);
    }
  });
  return rig;
}

module.exports = { makeWornRig };
