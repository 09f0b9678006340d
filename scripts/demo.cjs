'use strict';

// `npm run demo` on a fresh clone.

require('./setup.cjs').setup();
require('../examples/demo.cjs')
  .main()
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
