import { Subscribe } from '../buttons'

export default function About() {
  return (
    <main>
      <h1>About</h1>
      <Subscribe />
    </main>
  )
}
