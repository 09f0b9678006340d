'use strict';

const DATES = ['createdAt', 'updatedAt', 'lastRestoredAt', 'deletedAt'];

/** A copy of `object` whose ISO text at `name` is a Date; null and absent stay as they are. */
function withDate(object, name) {
  return typeof object[name] === 'string' ? { ...object, [name]: new Date(object[name]) } : object;
}

/** A record of the worker as the API hands it out. */
function withDates(record) {
  return DATES.reduce(withDate, record);
}

/** A restore drill as the API hands it out. */
function withDrillDates(drill) {
  const { snapshot } = drill;
  return { ...withDate(drill, 'at'), snapshot: snapshot && withDate(snapshot, 'createdAt') };
}

module.exports = { withDate, withDates, withDrillDates };
