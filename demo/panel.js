/**
 * What happens behind the page, live: the outbox, what became of the events, what the API has.
 * Invariant: it looks and never touches. It creates no database, holds no connection and blocks nobody's upgrade.
 */

const POLL_MS = 500
const LOG_LENGTH = 30

const SWITCHES = [
  ['relayDown', 'Relay down', 'Connections are cut.'],
  ['slow', 'Slow', 'Two seconds an event.'],
  ['apiErrors', 'API errors', 'It answers 500.'],
]

const TALLY = ['waiting', 'stored', 'twice'].map((name) => `<span><b data-count="${name}">–</b> ${name}</span>`).join('')

const FRAME = `
  <h2 id="panel-title">Behind the page</h2>
  <p class="tally" role="status">${TALLY}</p>
  <p class="mode" id="mode">Connecting to the demo server …</p>
  <section aria-labelledby="switches-title">
    <h3 id="switches-title">Make it fail</h3>
    <div class="switches" id="switches"></div>
  </section>
  <details class="try" id="try">
    <summary>What to try</summary>
    <ol>
      <li><b>Sign up and buy.</b> Two seconds later the API has it. Until you sign up, events wait: Pristo must know whose they are.</li>
      <li><b>Turn the relay down, buy, close the tab.</b> Come back, turn it up again: the purchase arrives, once.</li>
      <li><b>Open two tabs</b> and click in both: nothing arrives twice.</li>
      <li><b>Turn on API errors and buy.</b> The tries move apart, and nothing is lost.</li>
    </ol>
  </details>
  <section aria-labelledby="outbox-title">
    <h3 id="outbox-title">Waits in the outbox</h3>
    <button type="button" class="quiet" id="flush">Send now</button>
    <p class="mode" id="no-database" hidden>There is no database here: events wait in the memory of the page.</p>
    <ul class="rows" id="outbox" role="list"></ul>
  </section>
  <section aria-labelledby="log-title">
    <h3 id="log-title">What became of them <small>since this page loaded</small></h3>
    <ul class="rows" id="log" role="log" aria-labelledby="log-title"></ul>
  </section>
  <section aria-labelledby="stored-title">
    <h3 id="stored-title">What the API has stored</h3>
    <ul class="rows" id="stored" role="log" aria-labelledby="stored-title"></ul>
  </section>
  <section aria-labelledby="contacts-title" id="contacts-section" hidden>
    <h3 id="contacts-title">Whom the API knows</h3>
    <ul class="rows" id="contacts" role="list"></ul>
  </section>
`

const byId = (id) => document.getElementById(id)
const clock = (time) => new Date(time).toLocaleTimeString()
const list = (fields = {}) =>
  Object.entries(fields)
    .map(([key, value]) => `${key} ${value}`)
    .join(' · ')

// Screen readers announce every write to a live region, so the same words are not written again.
const write = (element, text) => {
  if (element.textContent !== text) element.textContent = text
}

const count = (name, number) =>
  document.querySelectorAll(`[data-count="${name}"]`).forEach((element) => write(element, String(number ?? '?')))

/** Makes `ul` show `rows` ({ key, tag?, tone?, title, note, detail }), keeping the items that are there already. */
const show = (ul, rows) => {
  const items = new Map([...ul.children].map((item) => [item.dataset.key, item]))
  rows.forEach((row, index) => {
    const item = items.get(row.key) ?? makeItem(row.key)
    items.delete(row.key)
    for (const part of ['tag', 'title', 'note', 'detail']) write(item.querySelector(`.${part}`), row[part] ?? '')
    item.dataset.tone = row.tone ?? ''
    if (ul.children[index] !== item) ul.insertBefore(item, ul.children[index] ?? null)
  })
  items.forEach((item) => item.remove())
}

const makeItem = (key) => {
  const item = document.createElement('li')
  item.dataset.key = key
  item.innerHTML = '<span class="tag"></span><b class="title"></b><span class="note"></span><span class="detail"></span>'
  return item
}

/** Fills the panel and keeps it true. */
export function openPanel({ pristo }) {
  byId('panel').innerHTML = FRAME
  addStatusBar()
  keepAdvice()
  watchOutbox()
  watchOutcomes(pristo)
  watchServer()
  byId('flush').addEventListener('click', () => pristo.flush())
}

// On a phone the panel lies below the shop: a bar at the foot of the window says what it would show.
function addStatusBar() {
  const bar = document.createElement('a')
  bar.className = 'status'
  bar.href = '#panel'
  bar.innerHTML = TALLY
  document.body.append(bar)
}

// Whoever has read the advice and closed it does not want it back on the next page.
function keepAdvice() {
  const advice = byId('try')
  advice.open = !sessionStorage.getItem('advice-read')
  advice.addEventListener('toggle', () => sessionStorage.setItem('advice-read', advice.open ? '' : 'yes'))
}

function watchOutbox() {
  const look = async () => {
    // A hidden page may be on its way into the back/forward cache, where an open transaction does harm.
    if (document.hidden) return
    const records = await readOutbox()
    count('waiting', records?.length)
    byId('no-database').hidden = records !== undefined
    show(byId('outbox'), (records ?? []).map(toWaitingRow))
  }
  setInterval(look, POLL_MS)
  look()
}

const toWaitingRow = ({ event, due, parked }) => ({
  key: event.id,
  title: event.type,
  note: waitOf(event, due, parked),
  detail: [list(event.customFields), `id …${event.id.slice(-6)}`].filter(Boolean).join(' · '),
})

const waitOf = (event, due, parked) => {
  if (!event.contact) return 'until someone signs up'
  if (parked) return 'until an email or phone is known'
  const seconds = Math.ceil((due - Date.now()) / 1000)
  return seconds > 0 ? `kept for its tab or a retry, ${seconds} s` : 'due'
}

/** The records of the outbox, oldest first; `undefined` where there is no database. */
const readOutbox = () =>
  new Promise((resolve) => {
    let request
    try {
      request = indexedDB.open('pristo')
    } catch {
      return resolve(undefined) // denied: pristo keeps events in memory then, which nobody can look into
    }
    // It does not exist: undoing the upgrade leaves it to pristo to create it.
    request.onupgradeneeded = () => request.transaction.abort()
    request.onerror = (event) => {
      event.preventDefault()
      resolve(undefined)
    }
    request.onsuccess = () => {
      const database = request.result
      const finish = (records) => {
        database.close()
        resolve(records)
      }
      database.onversionchange = () => database.close()
      if (!database.objectStoreNames.contains('events')) return finish(undefined)
      const all = database.transaction('events').objectStore('events').getAll()
      all.onsuccess = () => finish(all.result.filter((value) => value?.event))
      all.onerror = () => finish(undefined)
    }
  })

function watchOutcomes(pristo) {
  const rows = []
  let number = 0
  const add = (tag, tone, title, detail) => {
    rows.unshift({ key: String(number++), tag, tone, title, note: clock(Date.now()), detail })
    rows.splice(LOG_LENGTH)
    show(byId('log'), rows)
  }
  const idOf = ({ id }) => `id …${id.slice(-6)}`
  pristo.on('delivered', (event) => add('delivered', 'good', event.type, idOf(event)))
  pristo.on('rejected', ({ event, code, status, message }) =>
    add('rejected', 'bad', event.type, [code, status, message, idOf(event)].filter(Boolean).join(' · ')),
  )
  pristo.on('dropped', ({ event, reason }) => add('dropped', 'warn', event.type, `${reason} · ${idOf(event)}`))
  pristo.on('error', ({ code, message }) => add('error', 'bad', code, message))
}

function watchServer() {
  let source
  const connect = () => {
    source = new EventSource('/demo/state')
    source.onmessage = ({ data }) => render(JSON.parse(data))
    source.onerror = () => write(byId('mode'), 'The demo server does not answer. Is it still running?')
  }
  // A browser allows six connections to one origin: tabs in the background must not hold one each.
  document.addEventListener('visibilitychange', () => (document.hidden ? source?.close() : connect()))
  if (!document.hidden) connect()
}

function render({ api, switches, stored, twice, rows, contacts }) {
  write(
    byId('mode'),
    api.isReal
      ? `The relay talks to the real Pristo API at ${api.url}.`
      : `The relay talks to a stand-in for the Pristo API at ${api.url}. With PRISTO_API_KEY set it would be the real one.`,
  )
  renderSwitches(switches, api.isReal)
  write(byId('stored-title'), api.isReal ? 'What the API answered' : 'What the API has stored')
  count('stored', stored)
  count('twice', twice)
  show(byId('stored'), rows.map((row) => toStoredRow(row, api.isReal)).reverse())
  byId('contacts-section').hidden = contacts.length === 0
  show(byId('contacts'), contacts.map(toContactRow))
}

const toStoredRow = ({ number, id, type, contact, fields, at, status }, isReal) => ({
  key: String(number),
  tag: isReal ? String(status || 'no answer') : '',
  tone: status >= 200 && status < 300 ? 'good' : 'bad',
  title: type,
  note: clock(at),
  detail: [contact, list(fields), id && `id …${id.slice(-6)}`].filter(Boolean).join(' · '),
})

const toContactRow = ({ id, name, email, phone, customFields }) => ({
  key: id,
  title: name ?? id,
  note: id,
  detail: [email, phone, list(customFields)].filter(Boolean).join(' · '),
})

function renderSwitches(switches, isReal) {
  const box = byId('switches')
  if (!box.firstChild) box.append(...SWITCHES.map(makeSwitch))
  for (const button of box.children) {
    button.setAttribute('aria-checked', switches[button.dataset.name])
    // The real API cannot be told to fail.
    button.disabled = isReal && button.dataset.name !== 'relayDown'
  }
}

const makeSwitch = ([name, label, effect]) => {
  const button = document.createElement('button')
  button.type = 'button'
  button.setAttribute('role', 'switch')
  button.dataset.name = name
  button.innerHTML = `<span class="knob" aria-hidden="true"></span><span><b>${label}</b><small>${effect}</small></span>`
  button.addEventListener('click', async () => {
    const on = button.getAttribute('aria-checked') !== 'true'
    const response = await fetch('/demo/switch', { method: 'POST', body: JSON.stringify({ name, on }) }).catch(() => undefined)
    if (!response?.ok) write(byId('mode'), 'The switch did not work: the demo server does not answer.')
  })
  return button
}
