import { Buy, Login } from './buttons'

export default function Home() {
  return (
    <main>
      <h1>A shop</h1>
      <Login /> <Buy />
    </main>
  )
}
